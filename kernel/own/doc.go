// Package own keeps the sets of the router's own addresses, by which first packets are spared the
// kernel's look-ups (see compiler/own_addresses.go), while it can vouch for them: it hears of every
// route of the kernel's that makes an address the router's, puts the address in, and shows for some
// seconds at a time that the sets are whole. The sets may have too much in them, never too little:
// of what is in them the kernel is asked.
package own
