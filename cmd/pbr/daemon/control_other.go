//go:build !linux

package daemon

import (
	"errors"
	"net"
)

func mayControl(net.Conn) error { return errors.New("policy routing needs Linux") }

func refused(err error) bool { return err != nil }
