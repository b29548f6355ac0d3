package compiler

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pbr/compiler/plan"
)

// offloadPolicy has an uplink of default, one of a policy alone, and a policy for named interfaces.
const offloadPolicy = `
[[uplink]]
name = "isp1"
interface = "wan1"
gateway = "192.0.2.1"
[[uplink]]
name = "isp2"
interface = "wan2"
gateway = "198.51.100.1"
[default]
routes = [{ uplink = "isp1" }]
[[policy]]
name = "named"
from = ["br-lan", "vpn*", "!vpn9"]
uplink = "isp2"
`

func offloaded(t *testing.T, offload string, m plan.HostFacts) (*plan.Flowtable, *plan.Plan) {
	t.Helper()
	text := "[pbr]\n"
	if offload != "" {
		text += "offload = " + offload
	}
	p, ds := Compile(parse(t, text+offloadPolicy), m, nil)
	if ds.HasErrors() {
		t.Fatal(ds)
	}
	if len(p.Ruleset.Flowtables) == 0 {
		return nil, p
	}
	return &p.Ruleset.Flowtables[0], p
}

func addressed(l plan.Link) plan.Link {
	l.Up = true
	l.Addrs = []netip.Addr{netip.MustParseAddr("10.0.0.1")}
	return l
}

func TestOffloadDevices(t *testing.T) {
	m := plan.HostFacts{Known: true, Links: map[string]plan.Link{
		"lo":     addressed(plan.Link{Loopback: true}),
		"wan1":   {Up: true},
		"wan2":   addressed(plan.Link{}),
		"br-lan": {Below: []string{"eth1", "eth2.5"}},
		"eth1":   {Port: true, Hardware: true},
		"eth2.5": addressed(plan.Link{Port: true, Below: []string{"eth2"}}),
		"eth2":   {Hardware: true},
		"vpn1":   {Up: true},
		"guest":  addressed(plan.Link{}),
		"unused": {Up: true},
	}}
	capable := m
	capable.Links = map[string]plan.Link{}
	for name, link := range m.Links {
		link.Hardware = link.Below == nil
		capable.Links[name] = link
	}
	unmarked := []string{"br-lan", "guest", "vpn1", "wan1"}
	for _, c := range []struct {
		name     string
		offload  string
		host     plan.HostFacts
		devices  []string
		deferred string
	}{
		{"unmarked: devices of the default uplink and the LANs", `"unmarked"`, m, unmarked, ""},
		{"all: those of every uplink too", `"all"`, m, []string{"br-lan", "guest", "vpn1", "wan1", "wan2"}, ""},
		{"hardware that not every device has is left out", `{ hardware = true }`, m, unmarked,
			"guest, vpn1, wan1 cannot offload in hardware"},
		{"hardware that is required takes what is below bridges", `{ hardware = true, required = true }`, capable,
			[]string{"eth1", "eth2", "guest", "vpn1", "wan1"}, ""},
		{"off", `"off"`, m, nil, ""},
		{"off: a kernel without flowtables does not matter", `"off"`, plan.HostFacts{Known: true, NoFlowtables: true}, nil, ""},
		{"a kernel without flowtables: deferred", `"unmarked"`, plan.HostFacts{Known: true, NoFlowtables: true}, nil,
			"this kernel has no flowtables"},
		{"by default: a kernel without flowtables does not matter", "", plan.HostFacts{Known: true, NoFlowtables: true}, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, p := offloaded(t, c.offload, c.host)
			var devices []string
			if f != nil {
				devices = f.Devices
				if f.Hardware != (strings.Contains(c.offload, "hardware") && c.deferred == "") || f.Late || !f.Counter {
					t.Errorf("%s: %+v", c.offload, f)
				}
			}
			if !slices.Equal(devices, c.devices) {
				t.Errorf("%s: devices %q, want %q", c.offload, devices, c.devices)
			}
			var deferred []string
			for _, w := range p.Deferred {
				if w.Object == "offload" {
					deferred = append(deferred, w.Reason)
				}
			}
			if (c.deferred == "") != (deferred == nil) || len(deferred) > 1 || !strings.Contains(strings.Join(deferred, ""), c.deferred) {
				t.Errorf("%s: deferred: %q, want %q", c.offload, deferred, c.deferred)
			}
			if forward := slices.ContainsFunc(p.Ruleset.Chains,
				func(c plan.Chain) bool { return c.Uses(flowtable) }); forward != (c.devices != nil) {
				t.Errorf("%s: a chain leads to the flowtable: %v", c.offload, forward)
			}
		})
	}
}

// Without a machine the devices are candidates, and the other uplinks are kept out.
func TestOffloadForNoMachine(t *testing.T) {
	f, _ := offloaded(t, `{ hardware = true, required = true }`, plan.HostFacts{})
	if want := (&plan.Flowtable{Name: "flows", Late: true, Required: true, Counter: true,
		Devices: []string{"br-lan", "vpn*", "wan1"}, Except: []string{"wan2"}}); !reflect.DeepEqual(f, want) {
		t.Errorf("got %+v, want %+v", f, want)
	}
}

// The kernel takes 256 devices: uplinks stay among them.
func TestOffloadManyDevices(t *testing.T) {
	m := plan.HostFacts{Known: true, Links: map[string]plan.Link{"wan1": {Up: true}}}
	for i := range 300 {
		m.Links[fmt.Sprintf("ppp%d", i)] = addressed(plan.Link{})
	}
	f, p := offloaded(t, `"unmarked"`, m)
	t.Run("uplinks stay among them", func(t *testing.T) {
		if len(f.Devices) != 256 || !slices.Contains(f.Devices, "wan1") {
			t.Errorf("%d devices", len(f.Devices))
		}
	})
	t.Run("the rest is reported", func(t *testing.T) {
		if !slices.ContainsFunc(p.Deferred, func(w plan.Deferred) bool { return strings.Contains(w.Reason, "45 are left out") }) {
			t.Errorf("deferred: %v", p.Deferred)
		}
	})
}

// What fails over is not a flowtable: devices are the same whatever is healthy.
func TestOffloadDoesNotFollowHealth(t *testing.T) {
	doc := parse(t, `pbr = { offload = "unmarked" }`+"\n"+offloadPolicy)
	m := plan.HostFacts{Known: true, Links: map[string]plan.Link{"wan1": {Up: true}, "wan2": {Up: true}, "br-lan": addressed(plan.Link{})}}
	up, _ := Compile(doc, m, nil)
	down, _ := Compile(doc, m, Down(map[string]int{"isp1": 1}))
	if c := plan.Diff(up, down); len(c.Flowtables)+len(c.Chains) > 0 {
		t.Errorf("a failover changes %+v %+v", c.Flowtables, c.Chains)
	}
}
