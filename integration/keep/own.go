// Package keep does in a test's router what pbr watch does there beside its loop.
package keep

import (
	"context"
	"strings"

	"pbr/compiler/plan"
	"pbr/integration/lab"
	"pbr/kernel/own"
)

// Own keeps, for the rest of the test, the sets of own addresses of a router that holds a policy.
func Own(h *lab.Host) {
	t := h.T()
	t.Helper()
	var keeper *own.Keeper
	var err error
	h.Do(func() { keeper, err = own.New(nil) })
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); keeper.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
	lab.WaitFor(t, "own addresses to be kept", func() bool { return OwnKept(h) })
}

// OwnKept reports whether the sets of own addresses count as whole in both IP versions.
func OwnKept(h *lab.Host) bool {
	return strings.Count(h.Exec("nft", "list", "set", "inet", "pbr", plan.SetOwnKnown).Stdout, "expires") == 2
}
