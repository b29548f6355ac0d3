package main

import (
	"slices"
	"strconv"
	"strings"

	"pbr/cmd/pbr/cli"
	"pbr/compiler/lazy"
	"pbr/compiler/policy"
)

// What Go's package flag says of an option that a command does not have, of one at the end of the
// line that needs a value, and of a value that does not fit.
const (
	unknownOption = "flag provided but not defined: -"
	missingValue  = "flag needs an argument: -"
)

// invalidOption is what package flag says before and after a value that does not fit; the option's
// name follows.
type invalidOption struct{ before, after string }

var (
	invalidValue  = invalidOption{"invalid value ", " for flag -"}
	invalidSwitch = invalidOption{"invalid boolean value ", " for -"}
)

// read takes such a text apart.
func (i invalidOption) read(text string) (value, name string, ok bool) {
	text, is := strings.CutPrefix(text, i.before)
	quoted, err := strconv.QuotedPrefix(text)
	if !is || err != nil {
		return "", "", false
	}
	value, _ = strconv.Unquote(quoted) // it is quoted
	name, ok = strings.CutPrefix(text[len(quoted):], i.after)
	name, _, _ = strings.Cut(name, ":")
	return value, name, ok
}

// badOption is what an unknown or malformed option gives. The library would print the help as well.
func badOption(ctx *cli.Context, err error, _ bool) error {
	command, flags := "pbr", ctx.App.Flags
	if ctx.Command != nil && ctx.Command.Name != ctx.App.Name {
		command, flags = ctx.Command.HelpName, ctx.Command.Flags
	}
	text := err.Error()
	if name, is := strings.CutPrefix(text, unknownOption); is {
		return noOption(command, name, slices.Concat(flags, ctx.App.Flags))
	}
	if name, is := strings.CutPrefix(text, missingValue); is {
		v := valueOf(flags, name)
		return usageError("%s needs %s: %s %[1]s %[4]s", dashed(name), v.needs, command, v.example)
	}
	if value, name, is := invalidSwitch.read(text); is {
		return usageError("%s takes no value, but got %q", dashed(name), value)
	}
	if value, name, is := invalidValue.read(text); is {
		v := valueOf(flags, name)
		_, kind, _ := strings.Cut(v.needs, " ")
		return usageError("%s: invalid %s %q: write %s", dashed(name), kind, value, v.example)
	}
	return usageError("%v", err)
}

// noOption names the option that was meant: the command's own, or one of all commands.
func noOption(command, name string, flags []cli.Flag) error {
	owner := "there is"
	if own, is := strings.CutPrefix(command, "pbr "); is {
		owner = own + " has"
	}
	meant := policy.Nearest(name, longNames(flags))
	if meant == "" {
		return usageError("%s no option --%s", owner, name)
	}
	return usageError("%s no option --%s: did you mean \"--%s\"?", owner, name, meant)
}

// longNames are the names of options that help shows, without the short forms.
func longNames(flags []cli.Flag) (out []string) {
	for _, f := range flags {
		if v, ok := f.(cli.VisibleFlag); !ok || !v.IsVisible() {
			continue
		}
		for _, name := range f.Names() {
			if len(name) > 1 {
				out = append(out, name)
			}
		}
	}
	return out
}

// dashed is an option as people write it.
func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// optionValue says what kind of value an option needs, as "a time", with an example.
type optionValue struct{ needs, example string }

// optionValues are the kinds of values by what help calls them.
var optionValues = lazy.Value[map[string]optionValue]{Make: func() map[string]optionValue {
	return map[string]optionValue{
		"ADDRESS": {"an address", "192.168.10.50"}, "BALANCE": {"a balance", "NAME"}, "DIR": {"a directory", "DIR"},
		"DSCP": {"a class", "ef"}, "FILE": {"a file", "FILE"}, "FORMAT": {"a format", "json"}, "GROUP": {"a group", "www-data"},
		"INTERFACE": {"an interface", "eth0"}, "MARK": {"a mark", "0x10"}, "NUMBER": {"a number", "10"},
		"OLD=NEW": {"two names", "ether1=eth0"}, "PATH": {"a path", "system.slice/transmission.service"}, "POLICY": {"a policy", "NAME"},
		"PORT": {"a port", "443"}, "PROTOCOL": {"a protocol", "tcp"}, "STATE": {"a state", "established"}, "TIME": {"a time", "60s"},
		"TYPE": {"a type", "echo-request"}, "UPLINK": {"an uplink", "NAME"}, "USER": {"a user", "www-data"},
	}
}}

// optionExamples are those of options whose values look otherwise.
var optionExamples = map[string]string{"at": `"2006-01-02 15:04"`, "mac": "02:00:00:00:00:01", "dst": "9.9.9.9"}

// valueOf returns what an option needs.
func valueOf(flags []cli.Flag, name string) optionValue {
	for _, f := range flags {
		if !slices.Contains(f.Names(), name) {
			continue
		}
		v := optionValues.Get()[placeholder(f)]
		if example := optionExamples[f.Names()[0]]; example != "" {
			v.example = example
		}
		if v.needs != "" {
			return v
		}
	}
	return optionValue{"a value", "VALUE"}
}

// placeholder is what help calls an option's value, as TIME in "--wait TIME".
func placeholder(f cli.Flag) string {
	names, _, _ := strings.Cut(f.String(), "\t")
	names, _, _ = strings.Cut(names, ",")
	words := strings.Fields(names)
	if len(words) < 2 {
		return ""
	}
	return words[1]
}
