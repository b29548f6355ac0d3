//go:build !small

// Package web serves the page of pbr watch: lines, ways, and why a connection goes where it goes.
// It only looks. Everything that it shows are snapshots and answers that a Source gives it:
// nothing in it waits for the watch's loop, and nothing of the loop waits for it.
//
// A page is made here and needs no script. With the little that page.js has, it is kept up to
// date by server-sent events.
package web

import (
	"context"
	"time"

	"pbr/cmd/pbr/daemon"
	"pbr/compiler/explain"
	"pbr/healthcheck/history"
	"pbr/kernel/doctor"
	"pbr/render/graph"
)

// Source is what a page shows. All methods are for any number of goroutines.
type Source interface {
	// Snapshot says how things stand. It takes a moment at most: what is slow to read may be some
	// seconds old.
	Snapshot(ctx context.Context) (*Snapshot, error)
	History() *history.History
	Events() []daemon.PastEvent

	// Explain answers as pbr explain does.
	Explain(ctx context.Context, question *explain.Text) (*explain.Story, error)
	Connections(ctx context.Context, f Filter) (*Connections, error)
	// Trace tells the ways of a host's packets, until it or ctx ends.
	Trace(ctx context.Context, host string, found func(Traced)) error
	Doctor(ctx context.Context) ([]doctor.Finding, error)
	// Difference is what pbr diff prints; empty if nothing differs.
	Difference(ctx context.Context) (string, error)
}

// Snapshot is how things stand.
type Snapshot struct {
	// Policy is the file in force, Loaded when it was read, Since when the watch began.
	Policy        string
	Loaded, Since time.Time
	Lines         []Line
	// Together says that checks fail together; empty if they do not.
	Together string
	// Notes are what is to be known of the policy: edits that are not in force, a rejected file.
	Notes []string
	// Trial is an apply that waits to be confirmed; nil without one.
	Trial *Trial
	// Ways are the policy as a picture, and Selectors its policies and rules; nil until the
	// kernel was read for the first time.
	Ways      *graph.Graph
	Selectors []Selector
	// MoreSelectors is how many are not listed.
	MoreSelectors int
	// Trouble says why the kernel could not be read; empty if it could.
	Trouble string
}

// Line is an uplink.
type Line struct {
	Name, Interface, State string
	// Usable reports whether new connections can use it, Failed whether something of it should be
	// in use, and is not.
	Usable, Failed bool
	Versions       []Version
	Quota          *daemon.QuotaStatus
	// Connections and Bytes are those in the connection table; Bytes is nil where the kernel does
	// not count them.
	Connections int
	Bytes       *uint64
}

// Version is an uplink in one IP version.
type Version struct {
	Number         int // 4 or 6
	State          string
	Usable, Failed bool
	Since          time.Time
	Gateway        string
	Addresses      []string
	// RTT is 0 where nothing was answered; Loss is negative where nothing was sent.
	RTT, Jitter   time.Duration
	Loss          float64
	LastFailure   string
	LastFailureAt time.Time
	HeldUntil     time.Time
}

// Trial is an apply that waits to be confirmed.
type Trial struct {
	Until   time.Time
	Failure string
}

// Selector is a policy or rule.
type Selector struct {
	Name   string
	Line   int
	IsRule bool
	Target string
	// Uses are the uplinks that new connections use now.
	Uses string
	// Hits is nil where they are not counted.
	Hits    *uint64
	Problem string
}

// Filter selects connections.
type Filter struct {
	// Uplink and Policy are names, Text stands anywhere in a connection's addresses or names;
	// empty for any.
	Uplink, Policy, Text string
}

// Connections are those that a filter selects, the newest first where the kernel notes when they
// began.
type Connections struct {
	// Total is how many there are, Read how many of them were examined.
	Total, Read int
	List        []Connection
	// Ordered means that the kernel notes when connections begin.
	Ordered bool
}

// Connection is a connection.
type Connection struct {
	Proto, Source, Destination, Uplink, Policy, Table, SeenAs, Bytes string
	Started                                                          time.Time
	// Question asks explain of it.
	Question explain.Text
}

// Traced is a packet whose way was traced.
type Traced struct {
	At                                       time.Time
	Proto, Source, Destination, In           string
	State, Verdict, Uplink, Policy, Seen, By string
	// Agrees reports whether explain says the same.
	Agrees bool
}
