package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"pbr/cmd/pbr/daemon"
	"pbr/cmd/pbr/sources"
	"pbr/compiler/policy"
	"pbr/kernel"
	"pbr/kernel/state"
)

// followed are the sources of lists that a watch follows.
type followed struct {
	ctx     context.Context
	p       *policies
	files   *sources.Files
	urls    *sources.URLs
	changed chan daemon.ListChange
}

// followLists begins to follow the sources of lists: none at first.
func (c command) followLists(ctx context.Context, p *policies, k *kernel.Kernel, log *slog.Logger) *followed {
	f := &followed{ctx: ctx, p: p, files: sources.WatchFiles(ctx, log), urls: sources.WatchURLs(ctx, fetcher(k), log),
		changed: make(chan daemon.ListChange)}
	go func() {
		for {
			var change daemon.ListChange
			select {
			case change.Files = <-f.files.Changed():
			case <-f.urls.Changed():
			case <-ctx.Done():
				return
			}
			select {
			case f.changed <- change:
			case <-ctx.Done():
				return
			}
		}
	}()
	return f
}

// follow says which policy's lists to follow.
func (f *followed) follow(doc *policy.Document) {
	text := f.p.text(doc)
	if text == nil {
		return
	}
	f.files.Follow(f.ctx, text.Lists())
	f.urls.Follow(f.ctx, sources.Of(doc))
}

// fetcher fetches into the cache of k's network namespace.
func fetcher(k *kernel.Kernel) *sources.Fetcher {
	return &sources.Fetcher{Cache: sources.Open(state.Find(k.Dir())), Agent: "pbr/" + thisBuild().Version, Now: time.Now}
}

// readLists reads list files of a policy again, and what was fetched for it.
func (p *policies) readLists(doc *policy.Document, files []string) (*policy.Document, error) {
	before := p.text(doc)
	if before == nil {
		return nil, errors.New("the policy that is in force is another one now")
	}
	text, err := before.WithLists(files)
	if err != nil {
		return nil, err
	}
	return p.valid(loadAgain(text))
}
