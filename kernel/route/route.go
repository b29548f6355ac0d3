// Package route reads and writes ip rules, routes, links and sysctls of the current network
// namespace, over rtnetlink and /proc/sys.
//
// Writers and readers of the messages stand side by side: what one encodes the other decodes to
// the same plan value. Whatever a live object has that pbr never sets is kept as text in
// its Foreign field, so that nothing foreign looks equal to something wanted.
package route
