package route

// Traffic is what an interface received and sent since it exists. Boot and Index tell its life from
// another one's.
type Traffic struct {
	Boot  string
	Index int
	Bytes uint64
	// Received and Sent are its parts.
	Received, Sent uint64
}
