package explain_test

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pbr/compiler"
	"pbr/compiler/explain"
	"pbr/compiler/plan"
	"pbr/compiler/walk"
)

// asked is the answer to a line of a batch.
type asked struct {
	ID      any
	Error   string
	Verdict string
	Source  string
	By      struct {
		Kind string
		Name *string
		Line *int
	}
	Table, Uplink, Interface *string
	Members                  []struct{ Uplink *string }
	Mark                     struct{ Packet, CT *string }
	NAT                      struct{ Kind, Address *string }
	Offload                  struct {
		Eligible bool
		Why      string
	}
	Reply struct{ Uplink *string }
	Why   []string
}

const everything = twoUplinks + `
[lists]
phones = ["192.168.10.11", "192.168.10.48/28"]
[[table]]
name = "to2"
routes = [{ uplink = "isp2" }, { uplink = "isp1", distance = 2 }]
[[table]]
name = "only4"
routes = [{ uplink = "isp2", dst = "8.0.0.0/8" }]
[[table]]
name = "kill"
strict = true
routes = [{ uplink = "isp2", dst = "8.0.0.0/8" }]
[[table]]
name = "both"
routes = [{ uplink = "isp1" }, { uplink = "isp2" }]
[[balance]]
name = "turn"
method = "round-robin"
members = [{ uplink = "isp1" }, { uplink = "isp2" }]
[[balance]]
name = "hashed"
members = [{ uplink = "isp1" }, { uplink = "isp2" }]
[[balance]]
name = "ports"
hash = ["src", "sport"]
members = [{ uplink = "isp1" }, { uplink = "isp2" }]
[[policy]]
name = "voip"
src = "@phones"
table = "to2"
[[policy]]
name = "falls"
src = "192.168.10.100"
table = "only4"
[[policy]]
name = "vpn"
src = "192.168.10.101"
table = "kill"
[[policy]]
name = "ecmp"
src = "192.168.10.102"
table = "both"
[[policy]]
name = "rr"
src = "192.168.10.103"
balance = "turn"
[[policy]]
name = "hash"
src = "192.168.10.104"
balance = "hashed"
[[policy]]
name = "hash-ports"
src = "192.168.10.105"
balance = "ports"
[[policy]]
name = "stays"
src = "192.168.10.106"
default = true
[[rule]]
name = "closed"
src = "192.168.66.0/24"
action = "drop"
[[rule]]
name = "ruled"
src = "192.168.67.0/24"
table = "to2"
`

// ask fills in what most questions have alike.
func ask(t *testing.T, text, keys string) asked {
	t.Helper()
	x := explainer(t, text)
	line := `{"id": 7, "dst": "8.8.8.8", "proto": "udp", "dport": 53, ` + keys + `}`
	if strings.Contains(keys, `"dst"`) {
		line = strings.Replace(line, `"dst": "8.8.8.8", `, "", 1)
	}
	var a asked
	out := x.Line(nil, []byte(line), nil)
	if err := json.Unmarshal(out, &a); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return a
}

func text(s *string) string {
	if s == nil {
		return "null"
	}
	return *s
}

// TestKinds asks once for each kind of answer: verdict, what decided, table, uplink, members,
// connection mark, NAT, reply.
func TestKinds(t *testing.T) {
	for name, c := range map[string]struct{ keys, want string }{
		"policy": {`"in": "lan", "src": "192.168.10.50"`, "forward policy voip 40 to2 isp2 [] 0xd7000000 snat 198.51.100.2 isp2"},
		"fall-through": {`"in": "lan", "src": "192.168.10.100", "dst": "9.9.9.9"`,
			"forward policy falls 44 default isp1 [] 0xc5000000 masquerade null isp1"},
		"strict": {`"in": "lan", "src": "192.168.10.101", "dst": "9.9.9.9"`,
			"unreachable policy vpn 48 kill null [] 0x0 none null null"},
		"equal distances": {`"in": "lan", "src": "192.168.10.102"`, "forward policy ecmp 52 both null [isp1 isp2] null null null null"},
		"turn":            {`"in": "lan", "src": "192.168.10.103"`, "forward policy rr 56 null null [isp1 isp2] null null null null"},
		"port of the hash": {`"in": "lan", "src": "192.168.10.105"`,
			"forward policy hash-ports 64 null null [isp1 isp2] null null null null"},
		"default = true": {`"in": "lan", "src": "192.168.10.106"`,
			"forward policy stays 68 default isp1 [] 0xc5000000 masquerade null isp1"},
		"refused": {`"in": "lan", "src": "192.168.66.1"`, "drop rule closed 72 null null [] 0x0 none null null"},
		"rule":    {`"in": "lan", "src": "192.168.67.1"`, "forward rule ruled 76 to2 isp2 [] 0xd7000000 snat 198.51.100.2 isp2"},
		"default": {`"in": "lan", "src": "192.168.10.2"`, "forward default default 11 default isp1 [] 0x0 masquerade null isp1"},
		"pinned": {`"in": "lan", "src": "192.168.10.2", "state": "established", "pinned": "isp2"`,
			"forward connection isp2 6 isp2 isp2 [] 0xd7000000 snat 198.51.100.2 isp2"},
		"inbound": {`"in": "wan2", "src": "9.9.9.9", "dst": "192.168.10.2"`,
			"forward inbound isp2 6 main null [] 0x57000000 none 9.9.9.9 isp2"},
		"never": {`"in": "lan", "src": "192.168.10.2", "dst": "224.0.0.251"`,
			"local never null 0 null null [] 0x0 none null null"},
		"no source": {`"in": "lan", "src": "0.0.0.0", "dst": "9.9.9.9"`, "drop source null 0 null null [] 0x0 none null null"},
		"own multicast": {`"in": "local", "src": "192.0.2.2", "dst": "224.0.0.251"`,
			"forward never null 0 default isp1 [] 0x0 masquerade null isp1"},
		"own multicast 6": {`"in": "local", "src": "2001:db8:f1::2", "dst": "ff02::16"`,
			"forward never null 0 null null [] 0x0 none 2001:db8:f1::2 null"},
		"no destination": {`"in": "lan", "src": "192.168.10.2", "dst": "127.0.0.1"`, "drop never null 0 null null [] 0x0 none null null"},
		"not forwarded": {`"in": "lan", "src": "fe80::7", "dst": "2001:db8:1::1"`,
			"unreachable source null 0 main null [] 0x0 none null null"},
		"other version": {`"in": "lan", "src": "2001:db8::1", "dst": "2001:db8:1::1"`,
			"forward main null 0 main null [] 0x0 none 2001:db8::1 null"},
	} {
		t.Run(name, func(t *testing.T) {
			a := ask(t, everything, c.keys)
			line := 0
			if a.By.Line != nil {
				line = *a.By.Line
			}
			var members []string
			for _, m := range a.Members {
				members = append(members, text(m.Uplink))
			}
			got := strings.Join([]string{a.Verdict, a.By.Kind, text(a.By.Name), itoa(line), text(a.Table), text(a.Uplink),
				"[" + strings.Join(members, " ") + "]",
				text(a.Mark.CT), text(a.NAT.Kind), text(a.NAT.Address), text(a.Reply.Uplink)}, " ")
			if got != c.want || a.Error != "" {
				t.Errorf("%s: %s %s\nnot %s", name, got, a.Error, c.want)
			}
		})
	}
}

func itoa(n int) string { b, _ := json.Marshal(n); return string(b) }

// A hash over what is known has one answer, and different clients have different ones.
func TestHashIsExact(t *testing.T) {
	seen := map[string]bool{}
	for _, dst := range []string{"9.9.9.1", "9.9.9.2", "9.9.9.3", "9.9.9.4", "9.9.9.5", "9.9.9.6", "9.9.9.7", "9.9.9.8"} {
		t.Run(dst, func(t *testing.T) {
			a := ask(t, everything, `"in": "lan", "src": "192.168.10.104", "dst": "`+dst+`"`)
			seen[text(a.Uplink)] = true
			if len(a.Members) != 0 || a.Uplink == nil {
				t.Errorf("%s: %+v", dst, a)
			}
		})
	}
	if len(seen) != 2 {
		t.Errorf("eight destinations use %v", seen)
	}
}

func TestOffload(t *testing.T) {
	for name, c := range map[string]struct {
		mode, keys string
		eligible   bool
	}{
		"unmarked": {"unmarked", `"in": "lan", "src": "192.168.10.2"`, true},
		"pinned":   {"unmarked", `"in": "lan", "src": "192.168.10.50"`, false},
		"all":      {"all", `"in": "lan", "src": "192.168.10.50"`, true}, "off": {"off", `"in": "lan", "src": "192.168.10.2"`, false},
		"local":   {"all", `"in": "local", "src": "192.168.10.2"`, false},
		"inbound": {"all", `"in": "wan2", "src": "9.9.9.9", "dst": "192.168.10.2"`, true},
	} {
		t.Run(name, func(t *testing.T) {
			a := ask(t, "[pbr]\noffload = \""+c.mode+"\"\n"+everything, c.keys)
			if a.Offload.Eligible != c.eligible || a.Offload.Why == "" {
				t.Errorf("%s: %+v %s", name, a.Offload, a.Error)
			}
		})
	}
}

// Without an interface the answer is given if all interfaces have the same one.
func TestUnknownInterface(t *testing.T) {
	from := twoUplinks + "[[policy]]\nname = \"guests\"\nfrom = \"br-guest\"\nuplink = \"isp2\"\n[[policy]]\n" +
		"name = \"one\"\nsrc = \"10.0.0.1\"\nuplink = \"isp2\"\n"
	t.Run("no policy names an interface: one answer", func(t *testing.T) {
		if a := ask(t, twoUplinks, `"src": "192.168.10.2"`); text(a.Uplink) != "isp1" {
			t.Errorf("no policy names an interface: %+v", a)
		}
	})
	t.Run("it depends: the interface is asked for", func(t *testing.T) {
		if a := ask(t, from, `"src": "192.168.10.2"`); !strings.Contains(a.Error, `write in = "br-guest"`) {
			t.Errorf("it depends: %+v", a)
		}
	})
}

// The interface after a link-local source is the one that it arrives on.
func TestZoneIsTheInterface(t *testing.T) {
	x := explainer(t, twoUplinks+"[[policy]]\nname = \"guests\"\nfrom = \"br-guest\"\nuplink = \"isp2\"\n")
	for _, c := range []struct{ src, want string }{
		{"fe80::7%br-guest", `"verdict": "local"`}, {"fe80::7%a-name-that-is-far-too-long", "interface names have at most 15 bytes"},
	} {
		t.Run(c.src, func(t *testing.T) {
			if out := string(x.Line(nil, []byte(`{"src": "`+c.src+`", "dst": "ff02::1", "proto": "ping"}`),
				nil)); !strings.Contains(out, c.want) {
				t.Errorf("%s: %s", c.src, out)
			}
		})
	}
}

func TestNames(t *testing.T) {
	x := explainer(t, everything)
	resolve := func(host string) []netip.Addr {
		if host != "host.example" {
			return nil
		}
		return []netip.Addr{netip.MustParseAddr("2001:db8::9"), netip.MustParseAddr("203.0.113.9")}
	}
	out := string(x.Line(nil, []byte(`{"in": "lan", "src": "@phones", "dst": "host.example", "proto": "ping"}`), resolve))
	for _, want := range []string{`"name": "voip"`, "src: 192.168.10.11, the first address of list phones",
		"dst: host.example is 203.0.113.9"} {
		if !strings.Contains(out, want) {
			t.Errorf("%s is not in %s", want, out)
		}
	}
}

// Every key of an answer is there, whatever it is.
func TestEveryKey(t *testing.T) {
	x := explainer(t, everything)
	for _, keys := range []string{`"src": "192.168.10.50", "dst": "8.8.8.8"`, `"src": "192.168.66.1", "dst": "8.8.8.8"`,
		`"src": "192.168.10.103", "dst": "224.0.0.1"`} {
		t.Run(keys, func(t *testing.T) {
			var fields map[string]json.RawMessage
			if err := json.Unmarshal(x.Line(nil, []byte(`{"in": "lan", "proto": "udp", `+keys+`}`), nil), &fields); err != nil {
				t.Fatal(err)
			}
			var names []string
			for name := range fields {
				names = append(names, name)
			}
			slices.Sort(names)
			if got := strings.Join(names, " "); got != "by id interface mark members nat offload reply source table uplink verdict why" {
				t.Errorf("%s: %s", keys, got)
			}
		})
	}
}

// Without an interface, too, it is the forwarded packet that is reported, and what happens to it if
// the uplink fails.
func TestStoryWithoutInterface(t *testing.T) {
	doc, p, compiled := compiledPolicy(t, twoUplinks+"[[policy]]\nname = \"own\"\nfrom = \"local\"\nuplink = \"isp1\"\nstrict = true\n")
	x, err := explain.New(doc, p, p, explain.Live{Failing: func(uplink string) *plan.Plan {
		p, _ := compiled.Compile(plan.HostFacts{}, compiler.Down(map[string]int{uplink: 1}))
		return p
	}})
	if err != nil {
		t.Fatal(err)
	}
	var keys explain.Text
	for key, value := range map[string]string{"src": "192.168.10.2", "dst": "9.9.9.9", "proto": "udp"} {
		keys.Set(key, value)
	}
	q, err := x.Read(&keys, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := x.Answer(q)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range x.Story(a, nil, false).Steps {
		if step.What == "if isp1 fails" {
			if !strings.HasSuffix(step.Text, "a new one uses isp2") {
				t.Error(step.Text)
			}
			return
		}
	}
	t.Error("what happens if isp1 fails is missing")
}

// A policy whose uplink is down says so, and the last uplink of a table keeps its connections.
func TestStoryOfTheLastUplink(t *testing.T) {
	doc, _, compiled := compiledPolicy(t, twoUplinks+"[[policy]]\nname = \"voip\"\nuplink = \"isp2\"\nstrict = false\n")
	down := func(order map[string]int) *plan.Plan {
		p, _ := compiled.Compile(plan.HostFacts{}, compiler.Down(order))
		return p
	}
	p := down(map[string]int{"isp2": 1})
	x, err := explain.New(doc, p, p, explain.Live{
		Health:  map[string]string{"isp2": "it is down"},
		Failing: func(uplink string) *plan.Plan { return down(map[string]int{"isp2": 1, uplink: 2}) },
	})
	if err != nil {
		t.Fatal(err)
	}
	var keys explain.Text
	for key, value := range map[string]string{"src": "192.168.10.2", "dst": "9.9.9.9", "proto": "udp"} {
		keys.Set(key, value)
	}
	q, err := x.Read(&keys, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := x.Answer(q)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, step := range x.Story(a, nil, false).Steps {
		got[step.What] = step.Text
	}
	t.Run("the policy says why its uplink is not used", func(t *testing.T) {
		if want := "; uplink isp2 is not used: it is down"; !strings.HasSuffix(got["policy"], want) {
			t.Errorf("policy: %q, want %q", got["policy"], want)
		}
	})
	t.Run("the last uplink keeps its connections", func(t *testing.T) {
		if want := "nothing changes: table default has no other usable uplink"; got["if isp1 fails"] != want {
			t.Errorf("if isp1 fails: %q, want %q", got["if isp1 fails"], want)
		}
	})
}

// What happens to connections of a table whose only uplink fails depends on what else uses that
// uplink.
func TestStoryOfTheOnlyUplink(t *testing.T) {
	const only = "[[table]]\nname = \"only\"\nroutes = { uplink = \"isp2\" }\n[[policy]]\nname = \"tv\"\ntable = \"only\"\n"
	for name, c := range map[string]struct{ more, want string }{
		"alone": {"", "nothing changes: table only has no other usable uplink"},
		"another table moves": {"[[table]]\nname = \"both\"\nroutes = [{ uplink = \"isp2\" }, { uplink = \"isp1\", distance = 2 }]\n" +
			"[[policy]]\nname = \"pc\"\nsrc = \"192.168.10.9\"\ntable = \"both\"\n",
			"this connection is flushed, because table both moves to another uplink; a new one uses isp2 anyway: " +
				"table only has no other usable uplink"},
		"a policy falls back": {"[[policy]]\nname = \"pc\"\nsrc = \"192.168.10.9\"\nuplink = \"isp2\"\nstrict = false\n",
			"this connection is flushed, because policy pc falls back to default; a new one uses isp2 anyway: " +
				"table only has no other usable uplink"},
	} {
		t.Run(name, func(t *testing.T) {
			doc, p, compiled := compiledPolicy(t, twoUplinks+only+c.more)
			x, err := explain.New(doc, p, p, explain.Live{Failing: func(uplink string) *plan.Plan {
				p, _ := compiled.Compile(plan.HostFacts{}, compiler.Down(map[string]int{uplink: 1}))
				return p
			}})
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for _, step := range x.Story(answered(t, x, map[string]string{"src": "192.168.10.2", "dst": "9.9.9.9",
				"proto": "udp"}), nil, false).Steps {
				got[step.What] = step.Text
			}
			if got["if isp2 fails"] != c.want {
				t.Errorf("if isp2 fails: %q, want %q", got["if isp2 fails"], c.want)
			}
		})
	}
}

// A sender's MAC address that the question lacks is the neighbour's, or a note asks for it.
func TestMACOfNeighbour(t *testing.T) {
	doc, p, _ := compiledPolicy(t, twoUplinks+
		"[[policy]]\nname = \"private\"\nmac = \"02:00:00:00:00:05\"\nuplink = \"isp2\"\nstrict = true\n")
	x, err := explain.New(doc, p, p, explain.Live{MACs: map[netip.Addr][6]byte{
		netip.MustParseAddr("192.168.10.5"): {2, 0, 0, 0, 0, 5}, netip.MustParseAddr("192.168.10.6"): {2, 0, 0, 0, 0, 6}}})
	if err != nil {
		t.Fatal(err)
	}
	const found, ask = "mac: from the neighbour table", "policy private matches by MAC: ask again with --mac"
	for src, want := range map[string]struct{ uplink, note string }{
		"192.168.10.5": {"isp2", found}, "192.168.10.6": {"isp1", found}, "192.168.10.7": {"isp1", ask},
	} {
		a := answered(t, x, map[string]string{"src": src, "dst": "9.9.9.9", "proto": "udp"})
		var notes []string
		for _, step := range x.Story(a, nil, false).Steps {
			if step.What == "note" && strings.Contains(strings.ToLower(step.Text), "mac") {
				notes = append(notes, step.Text)
			}
		}
		if a.Uplink != want.uplink || !slices.Contains(notes, want.note) || slices.Contains(notes, found) && slices.Contains(notes, ask) {
			t.Errorf("%s: uplink %s, notes %q; want %+v", src, a.Uplink, notes, want)
		}
	}
}

// answered asks and answers a question.
func answered(t *testing.T, x *explain.Explainer, question map[string]string) *explain.Answer {
	t.Helper()
	var keys explain.Text
	for key, value := range question {
		keys.Set(key, value)
	}
	q, err := x.Read(&keys, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := x.Answer(q)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// A socket that has no address yet gets one of an uplink of equal distance, by a rule, and main's
// route then decides where the packet goes: which address it carries is not to be known.
func TestAddressOfOneOfSeveral(t *testing.T) {
	text := "[pbr]\nmain-first = \"connected\"\n" + twoUplinks + `
[[table]]
name = "both"
routes = [{ uplink = "isp1" }, { uplink = "isp2" }]
[[rule]]
name = "inside"
dst = "10.50.0.0/16"
table = "both"
`
	doc, _, c := compiledPolicy(t, text)
	link := func(addr string) plan.Link {
		return plan.Link{Up: true, Carrier: true, Addrs: []netip.Addr{netip.MustParseAddr(addr)}}
	}
	p, problems := c.Compile(plan.HostFacts{Known: true, NoIPv6: true, Links: map[string]plan.Link{
		"lan": link("192.168.10.1"), "wan1": link("192.0.2.2"), "wan2": link("198.51.100.2")}}, nil)
	if p == nil {
		t.Fatal(problems)
	}
	x, err := explain.New(doc, p, p, explain.Live{Facts: walk.Facts{
		Known: true,
		Links: map[string]walk.Link{
			"lan":  {Index: 2, Addrs: []netip.Prefix{netip.MustParsePrefix("192.168.10.1/24")}},
			"wan1": {Index: 3, Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.2/24")}},
			"wan2": {Index: 4, Addrs: []netip.Prefix{netip.MustParsePrefix("198.51.100.2/24")}},
		},
		Rules: []plan.Rule{{Family: plan.IPv4, Action: plan.ActLookup, Table: 255},
			{Family: plan.IPv4, Priority: 32766, Action: plan.ActLookup, Table: plan.MainTable}},
		Routes: []plan.Route{{Family: plan.IPv4, Table: plan.MainTable, Dst: netip.MustParsePrefix("10.50.0.0/16"),
			Kind: plan.Unicast, Hops: []plan.Hop{{Dev: "lan", Weight: 1}}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var keys explain.Text
	for key, value := range map[string]string{"in": "local", "dst": "10.50.7.136", "proto": "udp"} {
		keys.Set(key, value)
	}
	q, err := x.Read(&keys, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := x.Answer(q)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("the route of main decides, and the address is unknown", func(t *testing.T) {
		if a.Interface != "lan" || a.By.Kind != explain.ByMain || a.Address.IsValid() {
			t.Errorf("%+v", a)
		}
	})
	t.Run("the story names both addresses", func(t *testing.T) {
		if step := x.Story(a, nil, false).Steps[0]; step.Text != "the socket gets the address 192.0.2.2 or 198.51.100.2" {
			t.Error(step)
		}
	})
}

// A connection that moves back when a better uplink is usable has a mark of its own, which pins it
// to its uplink like the others.
func TestMarkOfConnectionsThatMoveBack(t *testing.T) {
	doc, p, _ := compiledPolicy(t, strings.Replace(twoUplinks, "[default]\n", "[default]\non-return = \"move\"\n", 1))
	x, err := explain.New(doc, p, p, explain.Live{})
	if err != nil {
		t.Fatal(err)
	}
	a := answered(t, x, map[string]string{"src": "10.0.0.1", "dst": "9.9.9.9", "proto": "udp", "state": "established",
		"pinned": "isp2/fallback"})
	if a.By.Kind != explain.ByConnection || a.By.Name != "isp2" || a.Uplink != "isp2" {
		t.Errorf("decided by %+v, uses %q", a.By, a.Uplink)
	}
}

// A balance says how it chooses, and what it remembers of the client.
func TestStoryOfBalances(t *testing.T) {
	balances := strings.Replace(twoUplinks, "\nnat = \"198", "\ngateway6 = \"2001:db8:2::1\"\nnat = \"198", 1) + `
[[balance]]
name = "turn"
method = "round-robin"
members = [{ uplink = "isp1" }, { uplink = "isp2" }]
sticky = { time = "1h", prefix6 = 56 }
[[balance]]
name = "dice"
method = "random"
members = [{ uplink = "isp1" }, { uplink = "isp2" }]
[[balance]]
name = "sums"
hash = ["src", "dst"]
members = [{ uplink = "isp1" }, { uplink = "isp2" }]
[[policy]]
name = "turns"
src = ["10.0.0.0/24", "fd00::/16"]
balance = "turn"
[[policy]]
name = "dices"
src = "10.0.1.0/24"
balance = "dice"
[[policy]]
name = "sums"
src = "10.0.2.0/24"
balance = "sums"
`
	doc, p, compiled := compiledPolicy(t, balances)
	mark := plan.PinnedMark(p.Numbers, "isp2")
	facts := walk.Facts{Known: true, Links: map[string]walk.Link{
		"lan":  {Addrs: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/16")}},
		"wan1": {Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.2/24")}},
		"wan2": {Addrs: []netip.Prefix{netip.MustParsePrefix("198.51.100.2/24"), netip.MustParsePrefix("2001:db8:2::2/64")}},
	}, Clients: map[string]map[plan.Key]walk.Client{
		compiler.ClientsMap("turn", plan.IPv4): {
			plan.KeyFromAddr(netip.MustParseAddr("10.0.0.7")): {Mark: mark, Expires: 41*time.Minute + time.Millisecond}},
		compiler.ClientsMap("turn", plan.IPv6): {
			plan.KeyFromAddr(netip.MustParseAddr("fd00:0:0:100::")): {Mark: mark, Expires: time.Second}},
	}}
	down, _ := compiled.Compile(plan.HostFacts{}, compiler.Down(map[string]int{"isp2": 1}))
	for _, c := range []struct {
		name, src string
		live      bool
		have      *plan.Plan
		want      string
		leaves    string
	}{
		{"a client that is remembered", "10.0.0.7", true, p,
			"turn: in turn (round-robin), sticky 1h; client 10.0.0.7 is remembered with isp2, for another 41m", "uplink isp2"},
		{"one that is not", "10.0.0.8", true, p, "turn: in turn (round-robin), sticky 1h; client 10.0.0.8 is not remembered",
			"one of isp1, isp2, in turn (round-robin)"},
		{"a prefix", "fd00:0:0:1ff::9", true, p,
			"turn: in turn (round-robin), sticky 1h; client fd00:0:0:100::/56 is remembered with isp2, for another 1s", ""},
		{"its member is down", "10.0.0.7", true, down, "turn: in turn (round-robin), sticky 1h; " +
			"client 10.0.0.7 is remembered with isp2, for another 41m, but isp2 is not usable", "uplink isp1"},
		{"without the kernel", "10.0.0.7", false, p, "turn: in turn (round-robin), sticky 1h",
			"one of isp1, isp2, in turn (round-robin)"},
		{"by chance", "10.0.1.7", true, p, "dice: by chance (random)", "one of isp1, isp2, by chance (random)"},
		{"by hash", "10.0.2.7", true, p, "sums: by hash of src, dst", "uplink "},
		{"no balance", "10.0.9.7", true, p, "", "uplink isp1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			live := explain.Live{}
			if c.live {
				live.Facts = facts
			}
			x, err := explain.New(doc, p, c.have, live)
			if err != nil {
				t.Fatal(err)
			}
			dst := map[bool]string{false: "9.9.9.9", true: "2001:db8::9"}[strings.Contains(c.src, ":")]
			got := map[string]string{}
			a := answered(t, x, map[string]string{"in": "lan", "src": c.src, "dst": dst, "proto": "udp"})
			for _, step := range x.Story(a, nil, false).Steps {
				got[step.What] += step.Text
			}
			if got["balance"] != c.want {
				t.Errorf("balance: %q, want %q", got["balance"], c.want)
			}
			if !strings.Contains(got["leaves"], c.leaves) {
				t.Errorf("leaves: %q, want %q", got["leaves"], c.leaves)
			}
		})
	}
}
