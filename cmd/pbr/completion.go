package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"pbr/cmd/pbr/cli"
	"pbr/compiler/policy"
)

// shells have the script that makes each shell ask pbr what a word can become.
var shells = []struct{ name, script string }{
	{"bash", `# bash completion for pbr: . <(pbr completion bash)
_pbr() {
	mapfile -t COMPREPLY < <(pbr complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _pbr pbr
`},
	{"zsh", `#compdef pbr
# zsh completion for pbr: pbr completion zsh > "${fpath[1]}/_pbr"
_pbr() {
	local -a found
	found=("${(@f)$(pbr complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
	if [[ -n ${found[1]} ]]; then compadd -a found; return; fi
	compset -P '-*='
	_files
}
if [ "$funcstack[1]" = "_pbr" ]; then _pbr "$@"; else compdef _pbr pbr; fi
`},
	{"fish", `# fish completion for pbr: pbr completion fish | source
function __pbr_complete
	set -l word (commandline -ct)
	set -l found (pbr complete -- (commandline -opc)[2..-1] $word 2>/dev/null)
	if set -q found[1]
		printf '%s\n' $found
		return
	end
	set -l option (string match -r '^-[^=]*=' -- $word; or echo)
	printf '%s\n' $option(__fish_complete_path (string replace -- "$option" '' $word))
end
complete -c pbr -f -a '(__pbr_complete)'
`},
}

func (c command) completionCommand() *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print a shell's script that completes pbr's commands, options and the policy's names",
		ArgsUsage: strings.Join(shellNames(), "|"),
		Description: "bash: put \". <(pbr completion bash)\" into ~/.bashrc. zsh: put the script\n" +
			"into a file _pbr in $fpath. fish: put \"pbr completion fish | source\" into\n" +
			"~/.config/fish/config.fish. Packages of pbr install all three.",
		Action: func(ctx *cli.Context) error {
			for _, s := range shells {
				if ctx.Args().Len() == 1 && s.name == ctx.Args().First() {
					fmt.Fprint(c.stdout, s.script)
					return nil
				}
			}
			return usageError("completion needs a shell: write pbr completion %s", strings.Join(shellNames(), "|"))
		},
	}
}

func shellNames() (names []string) {
	for _, s := range shells {
		names = append(names, s.name)
	}
	return names
}

// completeCommand is what the scripts call: it prints what the last of the words can become, a line
// each.
func (c command) completeCommand() *cli.Command {
	return &cli.Command{
		Name:            "complete",
		Usage:           "print completions of the last word",
		ArgsUsage:       "WORD...",
		Hidden:          true,
		SkipFlagParsing: true,
		Action: func(ctx *cli.Context) error {
			words := ctx.Args().Slice()
			if len(words) > 0 && words[0] == "--" {
				words = words[1:]
			}
			useConfigOf(ctx, words)
			names := func() *policy.Document {
				f, err := load(ctx)
				if err != nil {
					return &policy.Document{}
				}
				return f.doc
			}
			printLines(c.stdout, completions(ctx.App, names, words))
			return nil
		},
	}
}

// useConfigOf reads the policy that the words behind "--" name, which are not ours to parse.
func useConfigOf(ctx *cli.Context, words []string) {
	words = slices.DeleteFunc(slices.Clone(words), func(w string) bool { return w == splitAtEquals })
	for i, w := range words {
		name, value, whole := strings.Cut(w, "=")
		if !whole && i+2 < len(words) {
			value = words[i+1]
		}
		if (name == "--config" || name == "-c") && value != "" {
			_ = ctx.Set("config", value)
		}
	}
}

// splitAtEquals is the word between an option and its value that bash makes of "--option=value".
const splitAtEquals = "="

func printLines(w io.Writer, lines []string) {
	for _, l := range lines {
		fmt.Fprintln(w, l)
	}
}

// completions returns what the last of the words behind "pbr" can become; none means a file's name,
// or nothing that is known. The policy is read only where its names count.
func completions(app *cli.App, names func() *policy.Document, words []string) []string {
	if len(words) == 0 {
		words = []string{""}
	}
	last, before := words[len(words)-1], words[:len(words)-1]
	cmd, args, flag := typedSoFar(app, before)
	option := ""
	switch name, value, whole := strings.Cut(last, "="); {
	case flag != "" && last == splitAtEquals:
		last = ""
	case flag == "" && whole && strings.HasPrefix(name, "-"):
		flag, last, option = strings.TrimLeft(name, "-"), value, name+"="
	}
	var all []string
	switch {
	case flag != "":
		all = flagValues(cmd, flag, names)
	case strings.HasPrefix(last, "-"):
		all = flagNames(app.VisibleFlags())
		if cmd != nil {
			all = append(all, flagNames(cmd.VisibleFlags())...)
		}
	case cmd == nil:
		for _, known := range app.VisibleCommands() {
			all = append(all, known.Name)
		}
	default:
		all = argumentValues(cmd, args, names)
	}
	all = slices.DeleteFunc(all, func(s string) bool { return !strings.HasPrefix(s, last) })
	slices.Sort(all)
	all = slices.Compact(all)
	for i := range all {
		all[i] = option + all[i]
	}
	return all
}

// typedSoFar returns the command that words name, its arguments so far, and the option whose value
// comes next. The first argument may be a command of the command.
func typedSoFar(app *cli.App, words []string) (cmd *cli.Command, args []string, flag string) {
	flags := app.Flags
	for _, w := range words {
		switch {
		case flag != "" && w == splitAtEquals:
		case flag != "":
			flag = ""
		case strings.HasPrefix(w, "-"):
			if !strings.Contains(w, "=") && takesValue(flags, strings.TrimLeft(w, "-")) {
				flag = strings.TrimLeft(w, "-")
			}
		case cmd == nil:
			if cmd = app.Command(w); cmd == nil {
				return nil, nil, ""
			}
			flags = append(slices.Clone(flags), cmd.Flags...)
		default:
			if sub := subcommand(cmd, w); sub != nil && len(args) == 0 {
				flags = append(slices.Clone(flags), sub.Flags...)
			}
			args = append(args, w)
		}
	}
	return cmd, args, flag
}

func subcommand(cmd *cli.Command, name string) *cli.Command {
	for _, sub := range cmd.Subcommands {
		if sub.HasName(name) {
			return sub
		}
	}
	return nil
}

func takesValue(flags []cli.Flag, name string) bool {
	for _, f := range flags {
		if slices.Contains(f.Names(), name) {
			_, isBool := f.(*cli.BoolFlag)
			return !isBool
		}
	}
	return false
}

func flagNames(flags []cli.Flag) (out []string) {
	for _, name := range longNames(flags) {
		out = append(out, "--"+name)
	}
	return out
}

// flagValues are those of options that take a name of the policy, or one of a few words.
func flagValues(cmd *cli.Command, flag string, names func() *policy.Document) []string {
	switch flag {
	case "format":
		return formatNames(cmd)
	case "uplink", "pinned":
		return uplinkNames(names())
	case "policy":
		return policyNames(names())
	case "clients":
		return balanceNames(names())
	}
	return nil
}

// formatNames are the values of a command's --format.
func formatNames(cmd *cli.Command) (out []string) {
	if cmd != nil && cmd.Name == "graph" {
		return graphFormatNames
	}
	for _, f := range formats {
		out = append(out, f.name)
	}
	return append(out, formatDnsmasq)
}

// argumentValues are what a command's next argument can be.
func argumentValues(cmd *cli.Command, args []string, names func() *policy.Document) (out []string) {
	if len(args) == 0 {
		for _, sub := range cmd.Subcommands {
			out = append(out, sub.Name)
		}
	}
	switch cmd.Name {
	case "completion":
		out = atArgument(args, shellNames())
	case "uplink":
		out = atArgument(args, uplinkNames(names()), append(slices.Clone(uplinkModes), "quota"))
		if len(args) == 2 && args[1] == "quota" {
			out = []string{"reset", "+1GB"}
		}
	case "lists":
		lists := listNames(names())
		if len(args) == 0 {
			out = append(out, lists...)
		} else if len(args) == 1 && subcommand(cmd, args[0]) != nil {
			out = lists
		}
	case "explain":
		out = listNames(names())
	}
	return out
}

// atArgument returns the values of the argument that comes after args.
func atArgument(args []string, values ...[]string) []string {
	if len(args) < len(values) {
		return slices.Clone(values[len(args)])
	}
	return nil
}

func uplinkNames(doc *policy.Document) (out []string) {
	for _, u := range doc.Uplinks {
		out = append(out, u.Name)
	}
	return out
}

func policyNames(doc *policy.Document) (out []string) {
	for _, p := range doc.Policies {
		out = append(out, p.Name)
	}
	return out
}

func balanceNames(doc *policy.Document) (out []string) {
	for _, b := range doc.Balances {
		out = append(out, b.Name)
	}
	return out
}

func listNames(doc *policy.Document) (out []string) {
	for _, l := range doc.Lists {
		out = append(out, l.Name)
	}
	return out
}
