package explain_test

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pbr/compiler/explain"
	"pbr/compiler/plan"
	"pbr/compiler/walk"
)

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
	a := answered(t, x, map[string]string{"in": "local", "dst": "10.50.7.136", "proto": "udp"})
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
