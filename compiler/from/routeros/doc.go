// Package routeros turns an export of RouterOS 6 or 7 into a policy file. Text in, text and an
// account of every statement out: no file, no kernel, no clock.
//
//	scan.go, command.go   text into statements: wrapped lines, strings, paths
//	config.go             statements into what routing needs
//	routes.go             gateways into uplinks, routes into tables
//	match.go, cond.go     matchers of a rule into what a policy selects
//	tables.go             routing tables
//	flow.go, node.go      a mangle chain into a list of which the first match decides
//	balance.go            per-connection-classifier, nth and the lists of users that keep their uplink
//	emit.go               all of it into a draft of the policy file
package routeros
