//go:build !linux

package route

import (
	"errors"

	"pbr/compiler/plan"
)

var errLinux = errors.New("ip rules and routes need Linux")

// Conn does nothing on this system.
type Conn struct{}

// Open fails: only Linux has rtnetlink.
func Open() (*Conn, error) { return nil, errLinux }

// Close does nothing.
func (c *Conn) Close() error { return nil }

// HostFacts fails.
func (c *Conn) HostFacts([]plan.NextHop) (plan.HostFacts, error) { return plan.HostFacts{}, errLinux }

// Traffic fails.
func (c *Conn) Traffic([]string) (map[string]Traffic, error) { return nil, errLinux }

// Read fails.
func (c *Conn) Read(_, _ []uint32) ([]plan.Rule, []plan.Route, error) { return nil, nil, errLinux }

// AddRule fails.
func (c *Conn) AddRule(plan.Rule) error { return errLinux }

// DelRule fails.
func (c *Conn) DelRule(plan.Rule) error { return errLinux }

// DelRules fails.
func (c *Conn) DelRules([]plan.Rule) error { return errLinux }

// SetRoute fails.
func (c *Conn) SetRoute(plan.Route) error { return errLinux }

// DelRoute fails.
func (c *Conn) DelRoute(plan.Route) error { return errLinux }

// ReadSysctl fails.
func ReadSysctl(string) (string, error) { return "", errLinux }

// WriteSysctl fails.
func WriteSysctl(string, string) error { return errLinux }
