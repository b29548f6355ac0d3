package main

import (
	"fmt"

	"pbr/cmd/pbr/cli"
	"pbr/compiler/policy"
)

func (c command) listsCommand() *cli.Command {
	return &cli.Command{
		Name:      "lists",
		Aliases:   []string{"list"},
		Usage:     "show lists with their sources and members, and change those that are filled at run time",
		ArgsUsage: "[NAME]",
		Description: "Without a NAME it shows every list: its sources, the number of entries in the\n" +
			"policy, and how many members were added while the policy is in force. With a\n" +
			"NAME it shows that list's members. Reading members needs root. add, del and\n" +
			"flush change lists with a source { dynamic = true }, with and without a\n" +
			"running pbr watch; update fetches URLs.",
		Flags:  []cli.Flag{jsonFlag()},
		Action: c.runLists,
		Subcommands: []*cli.Command{
			{
				Name: "add", Usage: "add members to a list", ArgsUsage: "NAME ADDRESS|PREFIX...", HideHelpCommand: true,
				OnUsageError: badOption,
				Description:  "An existing member gets the new time.",
				Flags: []cli.Flag{&cli.StringFlag{Name: "for",
					Usage: "how long the members stay, `TIME` (such as 30m, 2h, 1d); the default is the list's timeout"}},
				Action: c.runListsAdd,
			},
			{
				Name: "del", Aliases: []string{"delete"}, Usage: "delete members from a list",
				ArgsUsage: "NAME ADDRESS|PREFIX...", HideHelpCommand: true,
				OnUsageError: badOption, Action: c.runListsDel,
			},
			{
				Name: "flush", Usage: "delete all members that commands added to a list", ArgsUsage: "NAME", HideHelpCommand: true,
				OnUsageError: badOption, Action: c.runListsFlush,
			},
			{
				Name: "update", Usage: "fetch the URLs of a list, or of all lists, now", ArgsUsage: "[NAME]",
				HideHelpCommand: true, OnUsageError: badOption,
				Description: "The result is applied: by the running pbr watch, or without one by applying\n" +
					"the last policy again. After a failure the last good copy stays in use. Exit\n" +
					"status 1 if a URL could not be fetched, or an answer was withheld.",
				Flags: []cli.Flag{
					&cli.BoolFlag{Name: "force", Usage: "accept answers that shrink a list by more than half"}, lockWaitFlag(),
				},
				Action: c.runListsUpdate,
			},
		},
	}
}

// listNamed returns a list of the policy, or says that there is none.
func listNamed(doc *policy.Document, name string) (*policy.List, error) {
	for i := range doc.Lists {
		if doc.Lists[i].Name == name {
			return &doc.Lists[i], nil
		}
	}
	names := listNames(doc)
	if len(names) == 0 {
		return nil, fmt.Errorf("list %q: %s has no lists: add it under [lists]", name, doc.File)
	}
	return nil, fmt.Errorf("list %q: there is no such list in %s: %s", name, doc.File, policy.Suggest(name, names))
}
