// Package route reads and writes ip rules, routes, links and sysctls of the current network
// namespace, over rtnetlink and /proc/sys.
//
// Encoder and decoder of each message stand side by side: what one encodes, the other decodes to
// the same plan value. Properties of a live object that pbr never sets are kept as text in its
// Foreign field, so that a foreign object never equals a wanted one.
package route
