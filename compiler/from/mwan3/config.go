package mwan3

import (
	"fmt"
	"strconv"

	"pbr/compiler/from"
)

// Files are the texts of a configuration directory; Network may be absent.
type Files struct {
	// MWAN3Name and NetworkName are what comments and the report call them.
	MWAN3Name, NetworkName string
	MWAN3, Network         []byte
}

// Import turns a configuration into a policy.
func Import(files Files, opts from.Options) (*from.Result, error) {
	sections, err := parse(files.MWAN3Name, files.MWAN3)
	if err != nil {
		return nil, err
	}
	network, err := parse(files.NetworkName, files.Network)
	if err != nil {
		return nil, err
	}
	b := newBuilder(opts, files)
	if !b.read(sections) {
		return nil, &Error{File: files.MWAN3Name, Message: "no section of mwan3 in it, as config interface, config policy or config rule"}
	}
	b.readNetwork(network)
	b.build()
	result := &from.Result{Policy: b.draft.TOML(fmt.Sprintf("Imported from %s, a configuration of mwan3.", opts.File)), Notes: b.notes}
	result.First = b.draft.Unprotected("OpenWrt's firewall")
	for _, s := range append(sections, network...) {
		result.Statements = append(result.Statements, s.Statement)
	}
	return result, nil
}

// builder makes the draft.
type builder struct {
	opts  from.Options
	files Files
	draft *from.Draft
	notes []string

	names, policyNames *from.Names
	devices            *from.Names
	// given are interfaces' names in the policy by their own.
	given map[string]string

	interfaces map[string]*section
	order      []*section
	members    map[string]*section
	policies   []*section
	rules      []*section
	// logical are the network's interfaces, bridges those of its devices that are.
	logical map[string]*section

	uplinks map[string]*uplink // by mwan3's interface
	lines   []*uplink
	targets map[string]*target // by mwan3's policy
	odd     []string
}

func newBuilder(opts from.Options, files Files) *builder {
	return &builder{opts: opts, files: files, draft: &from.Draft{}, names: from.NewNames(),
		policyNames: from.NewNames(), devices: from.NewInterfaces(),
		given: map[string]string{}, interfaces: map[string]*section{}, members: map[string]*section{}, logical: map[string]*section{},
		uplinks: map[string]*uplink{}, targets: map[string]*target{}}
}

// read sorts mwan3's sections, and reports whether there is one.
func (b *builder) read(all []*section) (ok bool) {
	for _, s := range all {
		switch s.kind {
		case "interface":
			b.interfaces[s.name] = s
			b.order = append(b.order, s)
			ok = true
		case "member":
			b.members[s.name] = s
			ok = true
		case "policy":
			b.policies = append(b.policies, s)
			ok = true
		case "rule":
			b.rules = append(b.rules, s)
			ok = true
		case "globals":
			readGlobals(s)
			ok = true
		default:
			s.Drop("mwan3 has no such section")
		}
	}
	return ok
}

// readGlobals tells of a mask that others may know mwan3's marks by.
func readGlobals(s *section) {
	if s.get("mmx_mask", "") != "" {
		s.Change("mmx_mask: pbr has marks of its own, in the bits of [pbr] mark-mask; " +
			"rules of others that match mwan3's marks need a change")
		return
	}
	s.Merge("marks and logging are pbr's own ([pbr] mark-mask, pbr watch)")
}

// readNetwork finds the interfaces of the network.
func (b *builder) readNetwork(all []*section) {
	for _, s := range all {
		if s.kind == "interface" {
			b.logical[s.name] = s
		}
		s.Ignore()
	}
}

func (b *builder) build() {
	b.buildUplinks()
	b.buildDefault()
	for _, p := range b.policies {
		b.buildPolicy(p)
	}
	for _, r := range b.rules {
		b.buildRule(r)
	}
	for _, p := range b.policies {
		if t := b.targets[p.name]; t != nil && t.by == p {
			t.account()
		}
	}
	for _, m := range b.members {
		if !m.Accounted() {
			m.Drop("no policy uses it")
		}
	}
	b.finish()
}

func (b *builder) finish() {
	if len(b.opts.Rename) == 0 && len(b.draft.Uplinks) > 0 {
		b.notes = append(b.notes,
			fmt.Sprintf("interfaces keep their names of OpenWrt: --map %s=eth0 gives them the names that "+
				"they have here", b.draft.Uplinks[0].Interface))
	}
	for _, name := range b.odd {
		b.notes = append(b.notes,
			fmt.Sprintf("interface %q is called %q in the policy: --map OLD=NEW chooses another name", name, b.given[name]))
	}
	if len(b.draft.Uplinks) == 0 {
		b.notes = append(b.notes, "no uplink was found: mwan3 has no interface that is enabled")
	} else {
		b.notes = append(b.notes, b.draft.Route("OpenWrt"),
			"source NAT is the firewall's on OpenWrt (masq of its zone): where no firewall does it here, "+
				"add nat = \"masquerade\" to the uplinks")
	}
}

// device is an interface's name in the policy.
func (b *builder) device(name string) string {
	if given, ok := b.given[name]; ok {
		return given
	}
	want := name
	if other, ok := b.opts.Rename[name]; ok {
		want = other
	}
	given := b.devices.Give(want)
	if given != want {
		b.odd = append(b.odd, name)
	}
	b.given[name] = given
	return given
}

func (b *builder) origin(s *section) from.Origin {
	return from.Origin{File: s.File, Line: s.Line, Comment: fmt.Sprintf("%s '%s'", s.kind, s.name)}
}

// number reads an option that is a number; what is none is reported.
func (s *section) number(key string, absent, low, high int) int {
	text := s.get(key, strconv.Itoa(absent))
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > high {
		s.Change(fmt.Sprintf("invalid %s: not a number from %d to %d, so %d is used", key, low, high, absent))
		return absent
	}
	return n
}
