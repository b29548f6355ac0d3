package main

import (
	"fmt"

	"github.com/urfave/cli/v2"
)

// manSection is where commands of an administrator are (man-pages(7)).
const manSection = 8

func (c command) manCommand() *cli.Command {
	return &cli.Command{
		Name:      "man",
		Usage:     "print this manual as a man page",
		ArgsUsage: " ",
		Hidden:    true,
		Action: func(ctx *cli.Context) error {
			page, err := ctx.App.ToManWithSection(manSection)
			if err != nil {
				return fmt.Errorf("writing the man page: %w", err)
			}
			_, err = fmt.Fprint(c.stdout, page)
			return err
		},
	}
}
