package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"pbr/cmd/pbr/cli"
)

const (
	commandsPage = "../../docs/commands.md"
	pageWidth    = 100
)

// The page of commands has the texts of --help.
func TestCommandsPage(t *testing.T) {
	c := command{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}
	page := commandsText(c.app())
	if *update {
		if err := os.WriteFile(commandsPage, page, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if have, err := os.ReadFile(commandsPage); err != nil || !bytes.Equal(have, page) {
		t.Errorf("%s is not what the commands' help says (%v): go test ./cmd/pbr -update", commandsPage, err)
	}
}

func commandsText(app *cli.App) []byte {
	var w bytes.Buffer
	w.WriteString("# Commands\n\n")
	paragraphs(&w, "This page has the texts of `pbr COMMAND --help` (and of `man pbr`); the program writes it.")
	paragraphs(&w, app.Description)
	w.WriteString("| command | what it does |\n| --- | --- |\n")
	for _, cmd := range app.VisibleCommands() {
		fmt.Fprintf(&w, "| [`%s`](#pbr-%[1]s) | %s |\n", cmd.Name, tableCell(cmd.Usage))
	}
	w.WriteString("\nOptions of all commands:\n\n")
	optionTable(&w, app.VisibleFlags())
	w.WriteString("## Exit status\n\n| status | meaning |\n| ---: | --- |\n")
	for _, s := range exitStatuses {
		fmt.Fprintf(&w, "| %d | %s |\n", s.code, tableCell(s.meaning))
	}
	w.WriteByte('\n')
	for _, cmd := range app.VisibleCommands() {
		fmt.Fprintf(&w, "## pbr %s\n\n", cmd.Name)
		paragraphs(&w, sentence(cmd.Usage)+".")
		fmt.Fprintf(&w, "```text\npbr %s\n```\n\n", synopsis(cmd))
		paragraphs(&w, cmd.Description)
		optionTable(&w, cmd.VisibleFlags())
		for _, sub := range cmd.Subcommands {
			fmt.Fprintf(&w, "`pbr %s`: %s.\n\n", strings.TrimSpace(cmd.Name+" "+sub.Name+" "+strings.TrimSpace(sub.ArgsUsage)), sub.Usage)
			optionTable(&w, sub.VisibleFlags())
		}
	}
	return append(bytes.TrimRight(w.Bytes(), "\n"), '\n')
}

func synopsis(cmd *cli.Command) string {
	text := cmd.Name
	if len(cmd.VisibleFlags()) > 1 { // one is --help
		text += " [OPTION...]"
	}
	return strings.TrimSpace(text + " " + strings.TrimSpace(cmd.ArgsUsage))
}

// optionTable has a row for each option but --help.
func optionTable(w *bytes.Buffer, flags []cli.Flag) {
	rows := ""
	for _, f := range flags {
		names, usage, _ := strings.Cut(f.String(), "\t")
		if !strings.HasPrefix(names, "--help") {
			rows += fmt.Sprintf("| `%s` | %s |\n", names, tableCell(usage))
		}
	}
	if rows != "" {
		w.WriteString("| option | what it does |\n| --- | --- |\n" + rows + "\n")
	}
}

func tableCell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

// paragraphs writes text, wrapped; empty lines are between its paragraphs.
func paragraphs(w *bytes.Buffer, text string) {
	for p := range strings.SplitSeq(text, "\n\n") {
		column := 0
		for i, word := range strings.Fields(p) {
			switch {
			case i == 0:
			case column+1+len(word) > pageWidth:
				w.WriteByte('\n')
				column = 0
			default:
				w.WriteByte(' ')
				column++
			}
			w.WriteString(word)
			column += len(word)
		}
		if column > 0 {
			w.WriteString("\n\n")
		}
	}
}
