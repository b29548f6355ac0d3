// Package conntrack counts, pins, re-marks and deletes connections of the current network
// namespace.
//
// Its functions may run beside anything else, in a thread of the namespace.
package conntrack
