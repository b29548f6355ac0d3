package compact

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// Flag is an option.
type Flag interface {
	// String is what help says of it: names, a tab, its use.
	String() string
	Names() []string
	// IsSet reports whether the environment gives it a value.
	IsSet() bool

	add(*flag.FlagSet)
}

// VisibleFlag is what every option is.
type VisibleFlag interface {
	Flag
	// IsVisible reports whether help shows the option.
	IsVisible() bool
}

// BoolFlag is an option without a value.
type BoolFlag struct {
	Name, Usage string
	Aliases     []string
	Hidden      bool
}

// IntFlag is an option that wants a number.
type IntFlag struct {
	Name, Usage string
	Aliases     []string
	Hidden      bool
	Value       int
}

// StringFlag is an option that wants a text, which may also come from the environment.
type StringFlag struct {
	Name, Usage string
	Aliases     []string
	Hidden      bool
	Value       string
	EnvVars     []string
	fromEnv     bool
}

// DurationFlag is an option that wants a time.
type DurationFlag struct {
	Name, Usage string
	Aliases     []string
	Hidden      bool
	Value       time.Duration
}

// StringSliceFlag is an option that may be repeated, and takes several texts with commas.
type StringSliceFlag struct {
	Name, Usage string
	Aliases     []string
	Hidden      bool
	// DefaultText is what help says happens without the option.
	DefaultText string
}

// HelpFlag is --help, versionFlag --version.
var (
	HelpFlag    Flag = &BoolFlag{Name: helpName, Aliases: []string{"h"}, Usage: "show help"}
	versionFlag Flag = &BoolFlag{Name: "version", Aliases: []string{"v"}, Usage: "print the version"}
)

func (f *BoolFlag) Names() []string        { return append([]string{f.Name}, f.Aliases...) }
func (f *IntFlag) Names() []string         { return append([]string{f.Name}, f.Aliases...) }
func (f *StringFlag) Names() []string      { return append([]string{f.Name}, f.Aliases...) }
func (f *DurationFlag) Names() []string    { return append([]string{f.Name}, f.Aliases...) }
func (f *StringSliceFlag) Names() []string { return append([]string{f.Name}, f.Aliases...) }

func (f *BoolFlag) IsSet() bool        { return false }
func (f *IntFlag) IsSet() bool         { return false }
func (f *StringFlag) IsSet() bool      { return f.fromEnv }
func (f *DurationFlag) IsSet() bool    { return false }
func (f *StringSliceFlag) IsSet() bool { return false }

func (f *BoolFlag) IsVisible() bool        { return !f.Hidden }
func (f *IntFlag) IsVisible() bool         { return !f.Hidden }
func (f *StringFlag) IsVisible() bool      { return !f.Hidden }
func (f *DurationFlag) IsVisible() bool    { return !f.Hidden }
func (f *StringSliceFlag) IsVisible() bool { return !f.Hidden }

func (f *BoolFlag) add(set *flag.FlagSet) {
	value := new(bool)
	for _, name := range f.Names() {
		set.BoolVar(value, name, false, f.Usage)
	}
}

func (f *IntFlag) add(set *flag.FlagSet) {
	for _, name := range f.Names() {
		set.Int(name, f.Value, f.Usage)
	}
}

func (f *StringFlag) add(set *flag.FlagSet) {
	value := f.Value
	for _, variable := range f.EnvVars {
		if v, is := os.LookupEnv(variable); is {
			value, f.fromEnv = v, true
			break
		}
	}
	for _, name := range f.Names() {
		set.String(name, value, f.Usage)
	}
}

func (f *DurationFlag) add(set *flag.FlagSet) {
	for _, name := range f.Names() {
		set.Duration(name, f.Value, f.Usage)
	}
}

func (f *StringSliceFlag) add(set *flag.FlagSet) {
	value := new(stringSlice)
	for _, name := range f.Names() {
		set.Var(value, name, f.Usage)
	}
}

// stringSlice implements flag.Getter.
type stringSlice []string

func (s *stringSlice) String() string { return fmt.Sprint([]string(*s)) }
func (s *stringSlice) Get() any       { return *s }

func (s *stringSlice) Set(value string) error {
	for _, v := range strings.Split(value, ",") {
		*s = append(*s, strings.TrimSpace(v))
	}
	return nil
}

func (f *BoolFlag) String() string { return described(f.Names(), f.Usage, "", "") }
func (f *IntFlag) String() string {
	return described(f.Names(), f.Usage, anyValue, fmt.Sprint(f.Value))
}
func (f *DurationFlag) String() string {
	if f.Value == 0 { // a default that says nothing
		return described(f.Names(), f.Usage, anyValue, "")
	}
	return described(f.Names(), f.Usage, anyValue, f.Value.String())
}

func (f *StringFlag) String() string {
	preset := ""
	if f.Value != "" {
		preset = fmt.Sprintf("%q", f.Value)
	}
	text := described(f.Names(), f.Usage, anyValue, preset)
	if len(f.EnvVars) > 0 {
		text += " [$" + strings.Join(f.EnvVars, ", $") + "]"
	}
	return text
}

func (f *StringSliceFlag) String() string {
	names, usage, _ := strings.Cut(described(f.Names(), f.Usage, anyValue, f.DefaultText), "\t")
	return names + " [ " + names + " ]\t" + usage
}

// anyValue is what help calls a value whose usage names none.
const anyValue = "value"

// described returns names, a tab, and what an option does. A word of usage in backquotes is what
// the value is called.
func described(names []string, usage, value, preset string) string {
	if before, rest, found := strings.Cut(usage, "`"); found {
		if word, after, closed := strings.Cut(rest, "`"); closed {
			value, usage = word, before+word+after
		}
	}
	if value != "" {
		value = " " + value
	}
	var written []string
	for _, name := range names {
		written = append(written, dashes(name)+name+value)
	}
	if preset != "" {
		usage += " (default: " + preset + ")"
	}
	return strings.Join(written, ", ") + "\t" + strings.TrimSpace(usage)
}

func dashes(name string) string {
	if len(name) == 1 {
		return "-"
	}
	return "--"
}

// withFlag adds f unless it is there.
func withFlag(flags []Flag, f Flag) []Flag {
	if slices.Contains(flags, f) {
		return flags
	}
	return append(flags, f)
}

func visibleFlags(flags []Flag) (out []Flag) {
	for _, f := range flags {
		if v, ok := f.(VisibleFlag); ok && v.IsVisible() {
			out = append(out, f)
		}
	}
	return out
}
