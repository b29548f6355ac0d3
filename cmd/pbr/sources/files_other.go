//go:build !linux

package sources

import "errors"

type fileEvent struct {
	path     string
	complete bool
	lost     bool
}

// directories watches nothing on this system.
type directories struct{}

func watchDirectories() (*directories, error) {
	return nil, errors.New("watching list files needs Linux")
}

func (d *directories) add(string) error { return nil }
func (d *directories) close() error     { return nil }
func (d *directories) next([]byte) ([]fileEvent, error) {
	return nil, errors.New("watching list files needs Linux")
}
