package route

// Traffic is what an interface has received and sent since it was created. Boot and Index identify
// that lifetime.
type Traffic struct {
	Boot  string
	Index int
	Bytes uint64
	// Received and Sent are the two directions.
	Received, Sent uint64
}
