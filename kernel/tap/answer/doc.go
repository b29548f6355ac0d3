// Package answer reads DNS answers as packets carry them, and tells which lists of names they teach
// addresses. It knows no socket, clock or kernel, trusts nothing that it reads, and keeps a bounded
// amount of it.
package answer
