package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/healthcheck"
	"pbr/healthcheck/quota"
)

// fakeKernel holds the plan that it was given last.
type fakeKernel struct {
	mu    sync.Mutex
	host  plan.HostFacts
	holds *plan.Plan
	// history are the plans that it held.
	history []*plan.Plan
	applies []time.Time
	updates []time.Time
	flushes []Flush
	// noRoom keeps other policies than the one that it holds out.
	noRoom  error
	stages  int
	pins    []Pin
	fail    error
	refuse  func(*plan.Plan) error   // nil for never
	carried map[string]quota.Reading // by interface
	// unread is the error of every other reading of the machine.
	unread error
	reads  int
	// sweeps are the looks for late answers; each finds one and asks for the next of againIn.
	sweeps  []time.Time
	againIn []time.Duration
	// spoiled are foreign changes: what the next Apply finds and repairs.
	spoiled []string
}

func (k *fakeKernel) Traffic([]string) (map[string]quota.Reading, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return maps.Clone(k.carried), nil
}

func (k *fakeKernel) HostFacts(plan.Needs) (plan.HostFacts, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.reads++; k.unread != nil && k.reads%2 == 0 {
		return plan.HostFacts{}, k.unread
	}
	m := k.host
	m.Links = maps.Clone(m.Links)
	return m, nil
}

func (k *fakeKernel) Apply(_ context.Context, want *plan.Plan) (Outcome, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.applies = append(k.applies, time.Now())
	return k.hold(want)
}

func (k *fakeKernel) Update(_ context.Context, want *plan.Plan) (Outcome, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.updates = append(k.updates, time.Now())
	return k.hold(want)
}

func (k *fakeKernel) hold(want *plan.Plan) (Outcome, error) {
	if k.fail != nil {
		return Outcome{}, k.fail
	}
	if k.refuse != nil {
		if err := k.refuse(want); err != nil {
			return Outcome{}, err
		}
	}
	if k.noRoom != nil && k.holds != nil && !reflect.DeepEqual(k.holds.Numbers, want.Numbers) {
		return Outcome{}, fmt.Errorf("%w: %w", ErrNoRoom, k.noRoom)
	}
	o := Outcome{Changed: k.spoiled}
	k.spoiled = nil
	if !reflect.DeepEqual(k.holds, want) {
		o.Changed = append(o.Changed, "something")
	}
	k.holds = want
	k.history = append(k.history, want)
	return o, nil
}

// stageTime is what a part of what is prepared takes.
const stageTime = 50 * time.Millisecond

// Stage has between called as often as stages says.
func (k *fakeKernel) Stage(_ context.Context, _ *plan.Plan, between func()) error {
	k.mu.Lock()
	n := k.stages
	k.mu.Unlock()
	for range n {
		time.Sleep(stageTime)
		between()
	}
	return nil
}

func (k *fakeKernel) Unstage() error { return nil }

// CompareAll does nothing: it compares everything.
func (k *fakeKernel) CompareAll() {}

func (k *fakeKernel) FlushConnections(flushes []Flush) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.flushes = append(k.flushes, flushes...)
	return len(flushes), nil
}

func (k *fakeKernel) Room() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.noRoom
}

func (k *fakeKernel) SweepLate() (n int, again time.Duration, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.againIn) == 0 {
		return 0, 0, nil
	}
	again, k.againIn = k.againIn[0], k.againIn[1:]
	k.sweeps = append(k.sweeps, time.Now())
	return 1, again, nil
}

func (k *fakeKernel) Pin(pins []Pin) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pins = append(k.pins, pins...)
	return len(pins), nil
}

func (k *fakeKernel) counts() (applies, updates int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.applies), len(k.updates)
}

func (k *fakeKernel) plan() *plan.Plan {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.holds
}

// plans are those that it held so far, the present one last.
func (k *fakeKernel) plans() []*plan.Plan {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.history)
}

// setLink changes an interface.
func (k *fakeKernel) setLink(name string, change func(*plan.Link)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	l := k.host.Links[name]
	change(&l)
	k.host.Links[name] = l
}

func (k *fakeKernel) do(f func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f()
}

// fakeProber answers for uplinks that are not dead.
type fakeProber struct {
	mu    sync.Mutex
	dead  map[string]bool
	lossy map[string]int // every so many-th probe is lost
	sent  map[string]int
	rtt   map[string]time.Duration // a millisecond if absent
}

func (p *fakeProber) setRTT(uplink string, rtt time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rtt == nil {
		p.rtt = map[string]time.Duration{}
	}
	p.rtt[uplink] = rtt
}

func (p *fakeProber) Probe(ctx context.Context, c healthcheck.Config, _ string) (time.Duration, error) {
	p.mu.Lock()
	p.sent[c.Uplink]++
	every := p.lossy[c.Uplink]
	dead := p.dead[c.Uplink] || every > 0 && p.sent[c.Uplink]%every == 0
	rtt := max(p.rtt[c.Uplink], time.Millisecond)
	p.mu.Unlock()
	if dead {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	return rtt, nil
}

func (p *fakeProber) set(uplink string, dead bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dead[uplink] = dead
}

// twoUplinks probes both every 100 ms; two failures are down.
const twoUplinks = `
[check]
interval = "100ms"
timeout = "100ms"
down-after = 2
up-after = 2
[[uplink]]
name = "isp1"
interface = "wan1"
gateway = "192.0.2.1"
nat = "masquerade"
check = { method = "ping", targets = "9.9.9.9" }
[[uplink]]
name = "isp2"
interface = "wan2"
gateway = "198.51.100.1"
nat = "masquerade"
check = { method = "ping", targets = "9.9.9.9" }
[[table]]
name = "both"
routes = [{ uplink = "isp2" }, { uplink = "isp1", distance = 2 }]
[default]
routes = [{ uplink = "isp1" }, { uplink = "isp2", distance = 2 }]
[[policy]]
name = "web"
dport = 443
table = "both"
`

func parse(t *testing.T, text string) *policy.Document {
	t.Helper()
	doc, err := parsePolicy(text)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func parsePolicy(text string) (*policy.Document, error) {
	doc, ds := policy.Parse(fstest.MapFS{"p.toml": {Data: []byte(text)}}, "p.toml", "p.toml")
	for _, d := range ds {
		if d.Severity == policy.Error {
			return nil, fmt.Errorf("%d: %s", d.Pos.Line, d.Message)
		}
	}
	return doc, nil
}

func usualMachine() plan.HostFacts {
	link := func(addrs ...string) plan.Link {
		l := plan.Link{Up: true, Carrier: true}
		for _, a := range addrs {
			l.Addrs = append(l.Addrs, netip.MustParseAddr(a))
		}
		return l
	}
	return plan.HostFacts{Known: true, Links: map[string]plan.Link{
		"lan": link("192.168.1.1"), "wan1": link("192.0.2.2"), "wan2": link("198.51.100.2"),
	}}
}

var errKernel = errors.New("the kernel says no")

// v4 is an uplink's line of IPv4, the only one that the uplinks of these tests carry.
func v4(uplink string) compiler.UplinkVersion {
	return compiler.UplinkVersion{Uplink: uplink, Family: plan.IPv4}
}
