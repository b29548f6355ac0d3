package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"pbr/cmd/pbr/applied"
	"pbr/cmd/pbr/cli"
	"pbr/cmd/pbr/daemon"
	"pbr/cmd/pbr/sources"
	"pbr/compiler/policy"
	"pbr/kernel"
	"pbr/kernel/facts"
	"pbr/kernel/state"
)

func (c command) runListsUpdate(ctx *cli.Context) error {
	if ctx.Args().Len() > 1 {
		return usageError("lists update takes the name of one list, or none for all, but got %d arguments", ctx.Args().Len())
	}
	f, err := c.loadValid(ctx)
	if err != nil {
		return err
	}
	list, err := sourcesToUpdate(f.doc, ctx.Args().First())
	if err != nil {
		return err
	}
	return withKernel(func(k *kernel.Kernel) error {
		if err := sources.Open(state.Find(k.Dir())).Ready(); err != nil {
			return err
		}
		any, good := c.fetchAll(k, list, ctx.Bool("force"))
		if any { // also where nothing is new: it may not be in force yet
			if err := c.takeFetched(ctx, k); err != nil {
				return err
			}
		}
		if !good {
			return exitCode(exitError)
		}
		return nil
	})
}

// sourcesToUpdate are the URLs of a list, or of all if it has no name.
func sourcesToUpdate(doc *policy.Document, name string) ([]sources.Source, error) {
	all := sources.Of(doc)
	if name == "" {
		if len(all) == 0 {
			return nil, fmt.Errorf("%s has no list with a URL: there is nothing to fetch", doc.File)
		}
		return all, nil
	}
	if _, err := listNamed(doc, name); err != nil {
		return nil, err
	}
	var list []sources.Source
	for _, s := range all {
		if s.List == name {
			list = append(list, s)
		}
	}
	if list == nil {
		return nil, fmt.Errorf("list %s has no URL: there is nothing to fetch", name)
	}
	return list, nil
}

// fetchAll fetches all sources at the same time and reports each in their order. It returns whether
// any, and whether all, were good.
func (c command) fetchAll(k *kernel.Kernel, list []sources.Source, force bool) (any, all bool) {
	stop, cancel := interruptible()
	defer cancel()
	fetch := fetcher(k)
	results, errs := make([]sources.Result, len(list)), make([]error, len(list))
	var fetching sync.WaitGroup
	for i := range list {
		fetching.Go(func() { results[i], errs[i] = fetch.Fetch(stop, &list[i].URL, force) })
	}
	fetching.Wait()
	all = true
	for i, s := range list {
		res, err := results[i], errs[i]
		var shrunk *sources.ShrunkError
		switch {
		case errors.As(err, &shrunk):
			fmt.Fprintf(c.stderr, "pbr: list %s: %s: %v: pbr lists update %s --force accepts it\n", s.List, s.URL.URL, err, s.List)
		case err != nil:
			fmt.Fprintf(c.stderr, "pbr: list %s: %s: %v%s\n", s.List, s.URL.URL, err, staying(res))
		case res.Changed:
			fmt.Fprintf(c.stdout, "list %s: %s: %s, before %d%s\n", s.List, s.URL.URL, counted(res.Entries, "entry"),
				res.Before, skipping(res))
		default:
			fmt.Fprintf(c.stdout, "list %s: %s: unchanged, %s\n", s.List, s.URL.URL, counted(res.Entries, "entry"))
		}
		any, all = any || err == nil, all && err == nil
	}
	return any, all
}

func staying(res sources.Result) string {
	if res.Entries == 0 {
		return "; nothing was fetched before"
	}
	return fmt.Sprintf("; the last good copy stays in use, with %s", counted(res.Entries, "entry"))
}

func skipping(res sources.Result) string {
	if res.Skipped == 0 {
		return ""
	}
	return fmt.Sprintf(" (%s is not an address, and is skipped)", counted(res.Skipped, "other entry"))
}

// takeFetched brings what was fetched into force: through the running watch, or by applying again
// what was applied last.
func (c command) takeFetched(ctx *cli.Context, k *kernel.Kernel) error {
	for {
		_, err := daemon.Ask(k.Dir(), daemon.Request{Do: "lists"})
		if !errors.Is(err, daemon.ErrNotRunning) {
			return err
		}
		err = c.withLock(ctx, k, func(stop context.Context) error { return c.takeFetchedAlone(stop, k) })
		if !errors.Is(err, errWatch) {
			return err
		}
	}
}

func (c command) takeFetchedAlone(stop context.Context, k *kernel.Kernel) error {
	store := applied.Open(k.Dir())
	if pending, err := k.Pending(); err != nil || pending != nil {
		fmt.Fprintln(c.stderr, "pbr: an apply waits to be confirmed: the lists come into force with the next apply after that")
		return err
	}
	kept, err := store.Kept()
	if store.InForce() == nil || err != nil {
		fmt.Fprintln(c.stderr, "pbr: no policy is in force: the lists come into force with pbr apply")
		return nil
	}
	f := loadAgain(kept)
	if err := c.report(f, f.diagnostics); err != nil {
		return err
	}
	now, want, err := c.compileNow(f, k)
	if err != nil {
		return err
	}
	_, err = c.applyPlan(stop, k, &applyOptions{}, f, now, want)
	return err
}

// fetchedFacts returns the state of fetching a policy's URLs.
func fetchedFacts(k *kernel.Kernel, doc *policy.Document) (out []facts.Fetched) {
	cache := sources.Open(state.Find(k.Dir()))
	for _, s := range sources.Of(doc) {
		n := cache.Note(s.URL.URL)
		f := facts.Fetched{List: s.List, URL: s.URL.URL, Trouble: n.Error}
		if s.URL.Fetched {
			f.At = n.Fetched.Local().Format(time.DateTime)
		}
		if n.Error != "" {
			f.Since = n.Failed.Local().Format(time.DateTime)
		}
		out = append(out, f)
	}
	return out
}

// reportUnfetched says which lists lack entries because their URLs were not fetched yet.
func (c command) reportUnfetched(doc *policy.Document) {
	if !builtIn(policy.FeatureListURL) {
		return // nothing fetches them, which is an error of the policy's
	}
	if _, err := os.ReadDir(fetchedDir()); errors.Is(err, fs.ErrPermission) {
		return // nobody but root knows
	}
	for _, s := range sources.Of(doc) {
		if !s.URL.Fetched {
			fmt.Fprintf(c.stderr, "pbr: note: list %s: %s was not fetched yet: pbr lists update %s, or a "+
				"running pbr watch, fetches it\n", s.List, s.URL.URL, s.List)
		}
	}
}

// unfetched reports whether a list lacks what its URL has.
func unfetched(doc *policy.Document) bool {
	return slices.ContainsFunc(sources.Of(doc), func(s sources.Source) bool { return !s.URL.Fetched })
}
