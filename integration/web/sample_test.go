//go:build !small

package web

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"pbr/cmd/pbr/daemon"
	"pbr/cmd/pbr/web"
	"pbr/compiler"
	"pbr/compiler/explain"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/healthcheck/history"
	"pbr/integration/lab"
	"pbr/kernel/doctor"
	"pbr/render/graph"
)

// sample is a router that was examined for a day: what pictures of the page show. The page is the
// real one; what it is given is made up.
type sample struct {
	doc      *policy.Document
	text     string
	history  *history.History
	events   []daemon.PastEvent
	snapshot web.Snapshot
	now      time.Time
}

const samplePolicy = `[[uplink]]
name = "fibre"
interface = "wan1"
gateway = "192.0.2.1"
gateway6 = "2001:db8:f1::1"
nat = "masquerade"
check = { method = "ping", targets = ["8.8.8.8", "2001:4860:4860::8888"] }

[[uplink]]
name = "cable"
interface = "wan2"
gateway = "198.51.100.1"
nat = "masquerade"
check = { method = "ping", targets = "8.8.8.8" }

[[uplink]]
name = "lte"
interface = "wwan0"
gateway = "203.0.113.1"
nat = "masquerade"
quota = { bytes = "50GB", per = "month" }
check = { method = "ping", targets = "8.8.8.8" }

[[table]]
name = "calls"
routes = [{ uplink = "cable" }, { uplink = "fibre", distance = 2 }, { uplink = "lte", distance = 3 }]

[default]
routes = [{ uplink = "fibre" }, { uplink = "cable", distance = 2 }, { uplink = "lte", distance = 3 }]

[[balance]]
name = "downloads"
members = [{ uplink = "fibre", weight = 3 }, { uplink = "cable" }]

[[policy]]
name = "phones"
src = "192.168.20.0/24"
proto = "udp"
dport = "5060-5090"
table = "calls"

[[policy]]
name = "backup"
src = "192.168.30.10"
uplink = "cable"
strict = true

[[policy]]
name = "updates"
dport = [80, 443]
balance = "downloads"
`

// newSample makes one of a policy text; its uplinks are those of samplePolicy, or numbered ones.
func newSample(t *testing.T, text string) *sample {
	t.Helper()
	doc, ds := policy.Parse(fstest.MapFS{"pbr.toml": {Data: []byte(text)}}, "pbr.toml", "/etc/pbr/pbr.toml")
	if ds.HasErrors() {
		t.Fatal(ds)
	}
	now := time.Now()
	s := &sample{doc: doc, text: text, now: now, history: history.New(now.Add(-25 * time.Hour))}
	s.snapshot = web.Snapshot{Policy: "/etc/pbr/pbr.toml", Loaded: now.Add(-49 * time.Hour), Since: now.Add(-26 * time.Hour)}
	live := &graph.Live{Uplinks: map[string]graph.State{}, Hits: map[string]uint64{}, Members: map[[2]string]bool{},
		Refused: map[string]bool{}, Problems: map[string]string{}}
	for i := range doc.Uplinks {
		s.uplink(&doc.Uplinks[i], i, live)
	}
	s.ways(live)
	s.snapshot.Ways = graph.New(doc, live)
	for i := range doc.Policies {
		p := &doc.Policies[i]
		hits := uint64(1200 / (i + 1))
		live.Hits[p.Name] = hits
		one := web.Selector{Name: p.Name, Line: p.Pos.Line, Target: "table " + p.Target.Name, Uses: "fibre", Hits: &hits}
		if p.Strict {
			one.Target, one.Uses, one.Problem = "uplink "+p.Target.Name+", strict", "",
				"its uplink is down: new connections are unreachable"
		}
		s.snapshot.Selectors = append(s.snapshot.Selectors, one)
	}
	s.snapshot.Ways = graph.New(doc, live)
	return s
}

// dead reports whether the i-th uplink is down in the sample: the second, and of many each
// twentieth.
func dead(i int) bool { return i%20 == 1 }

// ways are the routes that the kernel has: each table's best usable uplink.
func (s *sample) ways(live *graph.Live) {
	for _, t := range append(append([]policy.Table{}, s.doc.Tables...), *s.doc.Default) {
		for _, r := range t.Routes {
			if live.Uplinks[r.Uplink].Usable {
				live.Ways = append(live.Ways, graph.Way{Table: t.Name, Destination: "default", Version: 4, Uplinks: []string{r.Uplink}})
				break
			}
		}
	}
	for _, b := range s.doc.Balances {
		for _, m := range b.Members {
			live.Members[[2]string{b.Name, m.Target.Name}] = live.Uplinks[m.Target.Name].Usable
		}
	}
	for _, p := range s.doc.Policies {
		if p.Strict {
			id := graph.PolicyID(p.Name)
			live.Refused[id], live.Problems[id] = true, "its uplink is down: new connections are unreachable"
		}
	}
}

// uplink measures one for a day.
func (s *sample) uplink(u *policy.Uplink, i int, live *graph.Live) {
	chance := rand.New(rand.NewPCG(uint64(i), 7))
	base := 4 + float64(i%9)*3
	line := web.Line{Name: u.Name, Interface: u.Interface, State: "up", Usable: true, Connections: 214 / (i%7 + 1)}
	bytes := uint64(3<<30) / uint64(i%7+1)
	line.Bytes = &bytes
	versions := []int{4}
	if u.Gateway6.Present && u.Gateway6.Addr.IsValid() {
		versions = append(versions, 6)
	}
	outages := [][2]time.Duration{{19 * time.Hour, 18*time.Hour + 40*time.Minute}, {40 * time.Minute, 33 * time.Minute},
		{6 * time.Minute, -time.Second}}
	if !dead(i) {
		outages = nil
	}
	var in, out uint64
	for back := 24 * time.Hour; back >= 0; back -= pause(back) {
		at, isOut := s.now.Add(-back), false
		for _, o := range outages {
			isOut = isOut || back <= o[0] && back > o[1]
		}
		day := 1 + math.Sin(float64(at.Unix())/13751)
		for n, v := range versions {
			p := history.Probe{RTT: ms(base + float64(2*n) + 3*day + chance.ExpFloat64()),
				Jitter: ms(.3 + chance.ExpFloat64()/2), Loss: math.Max(0, chance.NormFloat64()-2.4) / 20}
			if isOut {
				p = history.Probe{Loss: 1}
			}
			s.history.AddProbe(at, u.Name, v, p)
		}
		if !isOut {
			in += uint64(float64(pause(back)/time.Second) * 1e6 * (2 + 3*day + 4*chance.Float64()) / float64(i+1))
			out += uint64(float64(pause(back)/time.Second) * 2e5 * (1 + day + chance.Float64()) / float64(i+1))
		}
		s.history.AddCounters(at, u.Name, history.Counters{In: in, Out: out})
	}
	for _, o := range outages {
		s.mark(u.Name, o[0], "up", "down", "8.8.8.8: no answer within 1s (and 1 more)", false)
		if o[1] > 0 {
			s.mark(u.Name, o[1], "down", "up", "3 rounds answered, in 9ms", true)
		}
	}
	state := graph.State{Name: "up", Usable: true}
	for _, v := range versions {
		one := web.Version{Number: v, State: "up", Usable: true, Since: s.now.Add(-26 * time.Hour),
			Gateway: u.Gateway.Addr.String(), Addresses: []string{u.Gateway.Addr.Next().String()},
			RTT: ms(base + 3), Jitter: ms(.4)}
		if v == 6 {
			one.Gateway, one.Addresses, one.RTT = u.Gateway6.Addr.String(), []string{u.Gateway6.Addr.Next().String()}, ms(base+5)
		}
		if dead(i) {
			one.State, one.Usable, one.Failed, one.Loss, one.RTT = "down", false, true, 1, 0
			one.Since, one.LastFailure, one.LastFailureAt = s.now.Add(-6*time.Minute),
				"8.8.8.8: no answer within 1s (and 1 more)", s.now.Add(-time.Second)
			line.State, line.Usable, line.Failed, line.Connections = "down", false, true, 0
			line.Bytes = nil
			state = graph.State{Name: "down", Why: "down: " + one.LastFailure}
		}
		line.Versions = append(line.Versions, one)
	}
	if u.Quota.Bytes > 0 {
		line.Quota = &daemon.QuotaStatus{Bytes: u.Quota.Bytes, Used: u.Quota.Bytes / 3,
			Left: u.Quota.Bytes - u.Quota.Bytes/3, Per: "month", Resets: s.now.AddDate(0, 0, 12)}
	}
	live.Uplinks[u.Name] = state
	s.snapshot.Lines = append(s.snapshot.Lines, line)
}

// pause is between two samples: the last hour is finer.
func pause(back time.Duration) time.Duration {
	if back <= time.Hour {
		return 5 * time.Second
	}
	return 2 * time.Minute
}

func ms(v float64) time.Duration { return time.Duration(v * float64(time.Millisecond)) }

func (s *sample) mark(uplink string, back time.Duration, from, to, reason string, usable bool) {
	at := s.now.Add(-back)
	s.history.AddMark(s.now, uplink, history.Mark{At: at, Version: "both", From: from, To: to, Reason: reason,
		Usable: usable, WasUsable: !usable})
	s.events = append(s.events, daemon.PastEvent{Time: at, Uplink: uplink, Version: "both", From: state(from),
		To: state(to), Reason: reason})
}

func (s *sample) Snapshot(context.Context) (*web.Snapshot, error) { n := s.snapshot; return &n, nil }
func (s *sample) History() *history.History                       { return s.history }
func (s *sample) Events() []daemon.PastEvent                      { return s.events }

func (s *sample) Explain(_ context.Context, t *explain.Text) (*explain.Story, error) {
	compiled := compiler.New(s.doc)
	p, problems := compiled.Compile(plan.HostFacts{}, compiler.Down(map[string]int{"cable": 1}))
	if p == nil {
		return nil, problems[0]
	}
	x, err := explain.New(s.doc, p, p,
		explain.Live{Health: map[string]string{"cable": "it is down since 14:02:11 (6m12s): 8.8.8.8: no answer within 1s"}})
	if err != nil {
		return nil, err
	}
	q, err := x.Read(t, nil)
	if err != nil {
		return nil, err
	}
	a, err := x.Answer(q)
	if err != nil {
		return nil, err
	}
	return x.Story(a, []byte(s.text), false), nil
}

func (s *sample) Connections(context.Context, web.Filter) (*web.Connections, error) {
	c := &web.Connections{Total: 214, Read: 214, Ordered: true}
	for i := range 40 {
		src := fmt.Sprintf("192.168.%d.%d:%d", 10+10*(i%3), 10+i*7%200, 40000+i*137)
		one := web.Connection{Proto: "tcp", Source: src, Destination: "9.9.9.9:443", Uplink: "fibre", Policy: "updates",
			Table: "-", SeenAs: "192.0.2.2:" + src[strings.LastIndex(src, ":")+1:],
			Bytes: fmt.Sprintf("%d KiB", 3+i*i), Started: s.now.Add(-time.Duration(i*i+2) * time.Second)}
		if i%3 == 1 {
			one.Proto, one.Destination, one.Policy, one.Table = "udp", "8.8.8.8:5060", "phones", "calls"
		}
		one.Question.Set("src", "192.168.10.10")
		c.List = append(c.List, one)
	}
	return c, nil
}

func (s *sample) Trace(_ context.Context, host string, found func(web.Traced)) error {
	for i := range 12 {
		found(web.Traced{At: s.now, Proto: "tcp", Source: fmt.Sprint(host, ":", 40000+i), Destination: "9.9.9.9:443",
			In: "lan", State: "new", Verdict: "forwarded", Uplink: "fibre", Policy: "updates", Seen: "192.0.2.2", Agrees: i != 7})
	}
	return nil
}

func (s *sample) Doctor(context.Context) ([]doctor.Finding, error) {
	return []doctor.Finding{
		{Group: "kernel", Level: doctor.OK, Subject: "nf_tables", Text: "sets, maps and named counters work"},
		{Group: "settings", Level: doctor.Fail, Subject: "rp_filter",
			Text: "wan2 has 1: the strict check drops packets from an uplink if main would not send the answer there",
			Do:   "sysctl -w net.ipv4.conf.wan2.rp_filter=2, or sysctl = true in [pbr]"},
		{Group: "others", Level: doctor.Warn, Subject: "systemd-networkd",
			Text: "removes rules and routes that it does not know when it restarts",
			Do:   "set ManageForeignRoutingPolicyRules=no and ManageForeignRoutes=no in networkd.conf"},
		{Group: "uplinks", Level: doctor.OK, Subject: "fibre", Text: "gateway 192.0.2.1 answers in 0.4 ms"},
		{Group: "uplinks", Level: doctor.Fail, Subject: "cable", Text: "it is down: 8.8.8.8: no answer within 1s", Do: "ask the provider"},
		{Group: "pbr", Level: doctor.OK, Subject: "pbr watch", Text: "runs, process 812"},
	}, nil
}

func (s *sample) Difference(context.Context) (string, error) {
	return "chain classify\n-  ip saddr 192.168.20.0/24 udp dport 5060-5080 jump policy-phones\n" +
		"+  ip saddr 192.168.20.0/24 udp dport 5060-5090 jump policy-phones\nroutes\n" +
		"+  ip -4 route default via 203.0.113.1 dev wwan0 table 112087 proto 112 metric 3\n", nil
}

// manyLines is a policy with uplinks and policies by number.
func manyLines(uplinks, policies int) string {
	var b strings.Builder
	var routes []string
	for i := range uplinks {
		fmt.Fprintf(&b, "[[uplink]]\nname = \"line%03d\"\ninterface = \"eth%d\"\ngateway = "+
			"\"10.200.%d.1\"\nnat = \"masquerade\"\ncheck = { method = \"ping\", targets = \"8.8.8.8\" }\n", i, i, i)
		routes = append(routes, fmt.Sprintf("{ uplink = \"line%03d\", distance = %d }", i, i+1))
	}
	fmt.Fprintf(&b, "[default]\nroutes = [%s]\n", strings.Join(routes, ", "))
	for i := range 10 {
		fmt.Fprintf(&b, "[[table]]\nname = \"to%d\"\nroutes = [%s]\n", i, strings.Join(routes[i*uplinks/20:i*uplinks/20+3], ", "))
	}
	for i := range policies {
		fmt.Fprintf(&b, "[[policy]]\nname = \"host%d\"\nsrc = \"10.%d.%d.1\"\ntable = \"to%d\"\n", i, 1+i/250, i%250, i%10)
	}
	return b.String()
}

// serve serves the page of a sample on a host.
func serve(t *testing.T, h *lab.Host, s web.Source) {
	t.Helper()
	server := web.New(web.Options{Source: s, Log: slog.New(slog.DiscardHandler)})
	var l net.Listener
	var err error
	h.Do(func() { l, err = net.Listen("tcp", address) })
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
