package daemon

import (
	"fmt"
	"reflect"
	"strings"

	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/healthcheck"
)

// Configs returns what is to be checked of each uplink: its policy, with the gateways that the machine has for it, and
// the mark of its pinned table.
func Configs(doc *policy.Document, numbers []plan.Number, machine plan.Machine) []healthcheck.Config {
	byName := map[string]uint32{}
	for _, n := range numbers {
		byName[n.Name] = n.Mark
	}
	configs := make([]healthcheck.Config, 0, len(doc.Uplinks))
	for i := range doc.Uplinks {
		u := &doc.Uplinks[i]
		link := machine.Links[u.Interface]
		method := string(u.Check.Method)
		if method == "" {
			method = string(policy.CheckNone)
		}
		c := healthcheck.Config{
			Uplink: u.Name, Interface: u.Interface, Mark: byName[u.Name], Priority: plan.ProbePriority, Method: method, Targets: u.Check.Targets,
			Gateway4: u.Gateway.Addr, Gateway6: u.Gateway6.Addr,
			IPv4: u.Gateway.Present, IPv6: u.Gateway6.Present && !machine.NoIPv6 && !link.NoIPv6,
			Interval: u.Check.Interval, Timeout: u.Check.Timeout,
			DownAfter: u.Check.DownAfter, UpAfter: u.Check.UpAfter, Quorum: u.Check.Quorum,
			MaxLoss: u.Check.MaxLoss, MaxRTT: u.Check.MaxRTT, Over: u.Check.Over,
		}
		if u.Gateway.Auto {
			c.Gateway4 = link.Gateway4
		}
		if u.Gateway6.Auto {
			c.Gateway6 = link.Gateway6
		}
		configs = append(configs, c)
	}
	return configs
}

func sameConfig(a, b healthcheck.Config) bool { return reflect.DeepEqual(a, b) }

// Links returns what the machine tells of each uplink's interface, by uplink.
func Links(doc *policy.Document, machine plan.Machine) map[string]healthcheck.LinkState {
	links := map[string]healthcheck.LinkState{}
	for i := range doc.Uplinks {
		u := &doc.Uplinks[i]
		link, exists := machine.Links[u.Interface]
		links[u.Name] = linkState(u, link, exists)
	}
	return links
}

// linkState returns what the machine tells of an uplink's interface.
func linkState(u *policy.Uplink, link plan.Link, exists bool) healthcheck.LinkState {
	return healthcheck.LinkState{Exists: exists, Up: link.Up, Carrier: link.Carrier, Addressed: addressed(u, link)}
}

// addressed tells whether connections can leave by an uplink with an address to come back to: it has one of a family that it
// carries, or needs none of its own. Without masquerade a point-to-point device may have no address, and an IPv6 router may
// have a link-local one only, which the machine does not list.
func addressed(u *policy.Uplink, link plan.Link) bool {
	for _, a := range link.Addrs {
		if a.Is4() && u.Gateway.Present || a.Is6() && u.Gateway6.Present {
			return true
		}
	}
	needs := func(gw policy.Gateway, v6 bool) bool {
		return !gw.Present || u.SourceNAT(v6).Mode == policy.NATMasquerade
	}
	if needs(u.Gateway, false) && needs(u.Gateway6, true) {
		return false
	}
	pointToPoint := (!u.Gateway.Present || u.Gateway.Link) && (!u.Gateway6.Present || u.Gateway6.Link)
	return pointToPoint || u.Gateway6.Present
}

// CheckUplink tells what is wrong with an uplink's name that somebody gave.
func CheckUplink(doc *policy.Document, name string) error {
	names := make([]string, 0, len(doc.Uplinks))
	for i := range doc.Uplinks {
		u := &doc.Uplinks[i]
		if u.Name == name {
			return nil
		}
		names = append(names, u.Name)
	}
	for i := range doc.Uplinks {
		if u := &doc.Uplinks[i]; u.Interface == name {
			return fmt.Errorf("there is no uplink %s in %s: it is the interface of uplink %s; did you mean that?", name, doc.File, u.Name)
		}
	}
	if len(names) == 0 {
		return fmt.Errorf("there is no uplink %s in %s: it has none at all", name, doc.File)
	}
	return fmt.Errorf("there is no uplink %s in %s: the uplinks are %s", name, doc.File, strings.Join(names, ", "))
}

func uplinkNamed(doc *policy.Document, name string) *policy.Uplink {
	for i := range doc.Uplinks {
		if doc.Uplinks[i].Name == name {
			return &doc.Uplinks[i]
		}
	}
	return nil
}
