package main

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"pbr/cmd/pbr/cli"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/kernel"
	"pbr/kernel/members"
	"pbr/kernel/nft"
	"pbr/kernel/state"
)

// memberUsage says how members are written.
const memberUsage = "write pbr lists %s NAME ADDRESS|PREFIX"

func (c command) runListsAdd(ctx *cli.Context) error {
	list, ranges, err := c.memberArguments(ctx, "add")
	if err != nil {
		return err
	}
	timeout := list.Dynamic().Timeout
	if ctx.IsSet("for") {
		if timeout, err = policy.ParseTime(ctx.String("for")); err != nil {
			return usageError("--for: %v", err)
		}
		if timeout < time.Second {
			return usageError("--for %s is too short: give at least 1s", ctx.String("for"))
		}
	}
	now := time.Now()
	var added []members.Member
	for _, r := range ranges {
		m := members.Member{From: r.From, To: r.To, Timeout: timeout}
		if timeout > 0 {
			m.Expires = now.Add(timeout)
		}
		added = append(added, m)
	}
	err = c.editList(list, func(f *members.File) error {
		f.Add(added...)
		for _, family := range plan.Families {
			if n, size := f.Count(family), list.Dynamic().Size; n > size {
				return fmt.Errorf("list %s is full: it holds at most %d members of IPv%d: delete some, or "+
					"give the list a larger size", list.Name, size, family)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, m := range added {
		if timeout > 0 {
			fmt.Fprintf(c.stdout, "list %s: added %s for %s\n", list.Name, &m, span(timeout))
		} else {
			fmt.Fprintf(c.stdout, "list %s: added %s\n", list.Name, &m)
		}
	}
	return nil
}

func (c command) runListsDel(ctx *cli.Context) error {
	list, ranges, err := c.memberArguments(ctx, "del")
	if err != nil {
		return err
	}
	err = c.editList(list, func(f *members.File) error {
		var errs []error
		for _, r := range ranges {
			if err := f.Delete(members.Member{From: r.From, To: r.To}); err != nil {
				errs = append(errs, fmt.Errorf("list %s: %w: pbr lists %s shows its members", list.Name, err, list.Name))
			}
		}
		return errors.Join(errs...)
	})
	if err != nil {
		return err
	}
	for _, r := range ranges {
		fmt.Fprintf(c.stdout, "list %s: deleted %s\n", list.Name, r)
	}
	return nil
}

func (c command) runListsFlush(ctx *cli.Context) error {
	if ctx.Args().Len() != 1 {
		return usageError("lists flush takes the name of one list, but got %d arguments: write pbr lists flush NAME", ctx.Args().Len())
	}
	list, err := c.dynamicList(ctx, ctx.Args().First())
	if err != nil {
		return err
	}
	deleted := 0
	err = c.editList(list, func(f *members.File) error {
		deleted, f.Members = len(f.Members), nil
		return nil
	})
	if err == nil {
		fmt.Fprintf(c.stdout, "list %s: deleted %s\n", list.Name, counted(deleted, "member"))
	}
	return err
}

// memberArguments reads the name of a list that commands fill, and members.
func (c command) memberArguments(ctx *cli.Context, what string) (*policy.List, []policy.Range, error) {
	args := ctx.Args().Slice()
	if len(args) < 2 {
		return nil, nil, usageError("lists %s takes a list and members, but got %s: "+memberUsage, what,
			counted(len(args), "argument"), what)
	}
	list, err := c.dynamicList(ctx, args[0])
	if err != nil {
		return nil, nil, err
	}
	var ranges []policy.Range
	for _, text := range args[1:] {
		r, err := policy.ParseRange(text)
		if err != nil {
			return nil, nil, usageError("list %s: %v", list.Name, err)
		}
		ranges = append(ranges, r)
	}
	return list, ranges, nil
}

// dynamicList returns a list of the policy file that commands fill.
func (c command) dynamicList(ctx *cli.Context, name string) (*policy.List, error) {
	var f *policyFile
	err := withKernel(func(k *kernel.Kernel) (err error) {
		f, err = c.loadShown(ctx, k)
		return err
	})
	if err != nil {
		return nil, err
	}
	list, err := listNamed(f.doc, name)
	if err != nil {
		return nil, err
	}
	if list.Dynamic() == nil {
		return nil, fmt.Errorf("list %s (%s:%d): commands cannot change it: give it a source { dynamic = true }",
			name, f.doc.File, list.Pos.Line)
	}
	return list, nil
}

// editTries is how often an edit is computed again because the members change at the same time.
const editTries = 10

// editList changes the members that commands added to a list, in the kernel and in the state
// directory.
func (c command) editList(list *policy.List, change func(*members.File) error) error {
	return withKernel(func(k *kernel.Kernel) error {
		dir := state.Find(k.Dir())
		unlock, err := members.Lock(dir)
		if err != nil {
			return err
		}
		defer unlock()
		for try := 1; ; try++ {
			err := c.editOnce(k, dir, list, change)
			if err == nil || try == editTries || !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EEXIST) {
				return err
			}
		}
	})
}

func (c command) editOnce(k *kernel.Kernel, dir state.Dir, list *policy.List, change func(*members.File) error) error {
	now := time.Now()
	f, err := members.Load(dir, list.Name, members.Added, now)
	if err != nil {
		c.warnOf("the stored members of list "+list.Name, err)
	}
	sets, err := runTimeSets(k, list)
	if err != nil {
		return err
	}
	for _, s := range sets {
		if len(list.DomainSources()) > 0 {
			f.Drop(s.have, s.family) // what else is there DNS answers gave
		} else {
			f.Adopt(s.have, s.family, now)
		}
	}
	before := members.File{Members: append([]members.Member{}, f.Members...)}
	if err := change(f); err != nil {
		return err
	}
	for _, s := range sets {
		remove, add := members.Edit(s.have, members.OfFamily(before.Members, s.family), members.OfFamily(f.Members, s.family), now)
		switch err := k.EditMembers(s.set, remove, add); {
		case errors.Is(err, unix.ENFILE):
			return fmt.Errorf("list %s: the set %s is full: delete members, or give the list a larger size", list.Name, s.set.Name)
		case errors.Is(err, unix.EINVAL):
			return fmt.Errorf("list %s: commands cannot change it in the policy in force: run pbr apply first", list.Name)
		case err != nil:
			return err
		}
	}
	f.Persist = list.Dynamic().Persist
	return members.Save(dir, list.Name, members.Added, f, now)
}

// runTimeSet is a list's set of one IP version with its members.
type runTimeSet struct {
	family plan.Family
	set    *plan.Set
	have   []nft.Member
}

// runTimeSets reads the sets of a list that is filled at run time.
func runTimeSets(k *kernel.Kernel, list *policy.List) (sets []runTimeSet, err error) {
	for _, family := range plan.Families {
		s := runTimeSet{family: family, set: &plan.Set{Name: plan.ListSet(list.Name, family), Type: family.AddrType(),
			Interval: list.Dynamic() != nil}}
		var there bool
		if s.have, there, err = k.Members(s.set); err != nil {
			return nil, err
		}
		if !there {
			return nil, fmt.Errorf("list %s is not in force: run pbr apply first", list.Name)
		}
		sets = append(sets, s)
	}
	return sets, nil
}
