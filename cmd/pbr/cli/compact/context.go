package compact

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"time"
)

// Context is what an action is given: its options and arguments.
type Context struct {
	context.Context
	App     *App
	Command *Command

	set    *flag.FlagSet
	parent *Context
}

// Args are a command's arguments.
type Args []string

// First is the first argument, "" if there is none.
func (a Args) First() string { return a.Get(0) }

// Get is the nth argument, "" if there is none.
func (a Args) Get(n int) string {
	if n < len(a) {
		return a[n]
	}
	return ""
}

// Len is the number of arguments.
func (a Args) Len() int { return len(a) }

// Slice returns a copy.
func (a Args) Slice() []string { return append([]string{}, a...) }

// Args are the command's arguments.
func (c *Context) Args() Args { return c.set.Args() }

// Set gives an option a value.
func (c *Context) Set(name, value string) error {
	if set := c.lookup(name); set != nil {
		return set.Set(name, value)
	}
	return fmt.Errorf("no such flag -%s", name)
}

// IsSet reports whether an option was written, under any of its names, or is in the environment.
func (c *Context) IsSet(name string) bool {
	set := c.lookup(name)
	if set == nil {
		return false
	}
	if visited(set, name) {
		return true
	}
	f := c.flag(name)
	return f != nil && (f.IsSet() || slices.ContainsFunc(f.Names(), func(alias string) bool { return visited(set, alias) }))
}

// Bool is the value of an option without one.
func (c *Context) Bool(name string) bool { return valueOf[bool](c, name) }

// Int is the value of an option that wants a number.
func (c *Context) Int(name string) int { return valueOf[int](c, name) }

// String is the value of an option as text.
func (c *Context) String(name string) string {
	if set := c.lookup(name); set != nil {
		return set.Lookup(name).Value.String()
	}
	return ""
}

// Duration is the value of an option that wants a time.
func (c *Context) Duration(name string) time.Duration { return valueOf[time.Duration](c, name) }

// StringSlice is the value of an option that may be repeated.
func (c *Context) StringSlice(name string) []string { return valueOf[stringSlice](c, name) }

// valueOf returns an option's value, none if it is unknown or of another type.
func valueOf[T any](c *Context, name string) (value T) {
	if set := c.lookup(name); set != nil {
		if g, ok := set.Lookup(name).Value.(flag.Getter); ok {
			value, _ = g.Get().(T)
		}
	}
	return value
}

// has reports whether an option without a value is set under any of its names.
func (c *Context) has(f Flag) bool { return slices.ContainsFunc(f.Names(), c.Bool) }

// lookup returns the innermost options that have one of that name.
func (c *Context) lookup(name string) *flag.FlagSet {
	for ; c != nil; c = c.parent {
		if c.set != nil && c.set.Lookup(name) != nil {
			return c.set
		}
	}
	return nil
}

func (c *Context) flag(name string) Flag {
	for ; c != nil; c = c.parent {
		for _, f := range c.Command.Flags {
			if slices.Contains(f.Names(), name) {
				return f
			}
		}
	}
	return nil
}
