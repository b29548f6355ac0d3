// Package conntrack counts, pins, deletes and changes the marks of connections of the current
// network namespace.
//
// Its functions may run concurrently with everything else, in a thread of that namespace.
package conntrack
