// Package wire is what the tests and their guest's agent say to each other: JSON, one value a line.
package wire

// Port is the name of the virtio serial port between them.
const Port = "pbr.agent"

// Request asks for a shell command.
type Request struct {
	ID      int    `json:"id"`
	Command string `json:"command"`
}

// Answer says how a command ended, with both outputs. The first one of a boot says instead which
// boot it is.
type Answer struct {
	ID     int    `json:"id"`
	Code   int    `json:"code"`
	Output string `json:"output"`
	Boot   string `json:"boot,omitempty"`
}
