package routeros

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"pbr/compiler/from"
	"pbr/compiler/sorting"
)

// Import turns an export into a policy.
func Import(text []byte, opts from.Options) (*from.Result, error) {
	all, err := read([]byte(strings.TrimPrefix(string(text), "\ufeff")))
	if err != nil {
		return nil, err
	}
	b := &builder{config: newConfig(opts, all), draft: &from.Draft{}, names: from.NewNames(), policies: from.NewNames(),
		ruleNames: from.NewNames(),
		listNames: map[string]string{}, markTables: map[string]string{}, tables: map[string]*table{}, tunnels: map[string]bool{}}
	b.build()
	result := &from.Result{Policy: b.draft.TOML(fmt.Sprintf("Imported from %s, an export of RouterOS.", opts.File)), Notes: b.notes}
	if b.refusals > 0 {
		result.First = b.draft.Unprotected("the firewall (" + from.Count(b.refusals, "filter rule") + " with drop, reject or tarpit)")
	}
	for _, s := range all {
		result.Statements = append(result.Statements, s.Statement)
	}
	return result, nil
}

// builder makes the draft.
type builder struct {
	*config
	draft                      *from.Draft
	names, policies, ruleNames *from.Names
	// listNames are the lists' names in the policy file.
	listNames map[string]string
	saidCheck bool
	// tunnels are interfaces that are declared as tunnels.
	tunnels map[string]bool

	tables     map[string]*table
	tableOrder []*table
	// markTables lead from a routing mark to its table, where a rule says so.
	markTables map[string]string
	main       *table
	// copyOfMain is a table with main's default routes, for balances that have them as a member.
	copyOfMain *from.Table
}

func (b *builder) build() {
	b.lines = map[string]*line{}
	b.findTunnels()
	b.findLines()
	sorting.Func(b.lineOrder, func(x, y *line) int { return x.st[0].Line - y.st[0].Line })
	b.collectTables()
	b.killSwitches()
	b.tellEmptyTables()
	b.nameAll()
	b.readSourceNAT()
	b.writeUplinks()
	b.fillTables()
	b.writeLists()
	b.buildPolicies()
	b.buildRules()
	b.leaveOutClosed()
	b.fasttrack()
	b.finish()
}

func (b *builder) findTunnels() {
	for _, s := range b.all {
		kind, isInterface := strings.CutPrefix(s.section, "interface ")
		if isInterface && s.verb == "add" && s.get("name") != "" &&
			!slices.Contains([]string{"bridge", "vlan", "list", "bonding", "vrrp", "wireless", "wifi"}, kind) {
			b.tunnels[s.get("name")] = true
		}
	}
}

func (c *config) isUplink(iface string) bool { return c.lines[iface] != nil }

// origin is where a statement stands.
func (c *config) origin(s *statement) from.Origin {
	return from.Origin{File: c.opts.File, Line: s.Line, Comment: s.get("comment")}
}

func (c *config) origins(by []*statement) []from.Origin {
	out := make([]from.Origin, len(by))
	for i, s := range by {
		out[i] = c.origin(s)
	}
	return out
}

// nameAll names tables before uplinks, so that tables keep their names.
func (b *builder) nameAll() {
	for _, t := range b.tableOrder {
		t.draft.Name = b.names.Give(t.name)
	}
	for _, l := range b.lineOrder {
		l.Name = b.names.Give(l.Interface)
	}
}

func (b *builder) writeUplinks() {
	for _, l := range b.lineOrder {
		l.gateways(b.six)
		if l.check != "" {
			l.Check = &from.Check{Method: l.check, Targets: l.targets}
		}
		l.Origins = b.origins(l.st)
		for _, s := range l.st {
			s.Import("uplink " + l.Name)
		}
		b.draft.Uplinks = append(b.draft.Uplinks, l.Uplink)
	}
}

// gateways writes the uplink's gateways; a point-to-point device has none.
func (l *line) gateways(six bool) {
	texts := [2]*string{&l.Gateway, &l.Gateway6}
	for v, text := range texts {
		switch {
		case l.gateway[v].IsValid():
			*text = l.gateway[v].String()
		case l.auto[v]:
			*text = "auto"
		case l.carries[v]:
			*text = "link"
		}
	}
	if l.ptp && !six && l.Gateway == "link" || l.Gateway == "link" && l.Gateway6 == "link" {
		l.Gateway, l.Gateway6 = "", ""
	}
}

// writeLists writes the address lists.
func (b *builder) writeLists() {
	names := from.NewNames()
	for _, l := range b.ordered {
		if len(l.entries) == 0 {
			continue
		}
		name := names.Give(orElse(l.name, "unnamed"))
		b.listNames[l.name] = name
		first := b.origin(l.st)
		first.Comment = ""
		if name != l.name {
			first.Comment = "address list " + l.name
		}
		b.draft.Lists = append(b.draft.Lists, &from.List{Name: name, Entries: l.entries, Origin: first})
		for _, s := range l.sources {
			s.Import("list " + name)
		}
	}
}

// fasttrack decides which connections are offloaded.
func (b *builder) fasttrack() {
	b.draft.Offload = "off"
	for _, s := range b.filters {
		b.draft.Offload = "unmarked"
		s.Import("pbr.offload")
		if !s.has("connection-mark", "no-mark") {
			s.Change("without connection-mark=no-mark RouterOS fasttracks marked connections too, " +
				"and past their routing mark; offload = \"unmarked\" leaves those out")
		}
		for _, a := range s.args {
			switch a.key {
			case "action", "chain", "comment", "connection-state", "connection-mark", "hw-offload", "disabled":
			default:
				s.Change(fmt.Sprintf("offload does not select by %s: all unmarked connections are offloaded", a.key))
			}
		}
	}
}

// forwardsNothing returns the statement that switches forwarding off, nil if it is on, as it is
// without one.
func (b *builder) forwardsNothing() *statement {
	for _, s := range b.all {
		if s.section == "ip settings" && s.verb == "set" && s.get("ip-forward") == "no" {
			return s
		}
	}
	return nil
}

// finish says what is true of the whole.
func (b *builder) finish() {
	if len(b.renamed.rename) == 0 && len(b.draft.Uplinks) > 0 {
		b.notes = append(b.notes,
			fmt.Sprintf("interfaces keep their names of RouterOS: --map %s=eth0 gives them the names that "+
				"they have here", b.draft.Uplinks[0].Interface))
	}
	for _, name := range slices.Sorted(maps.Keys(b.renamed.rename)) {
		if !b.renamed.used[name] {
			b.notes = append(b.notes, fmt.Sprintf("--map %s=%s: nothing that is imported is about an interface %q",
				name, b.renamed.rename[name], name))
		}
	}
	for _, name := range b.renamed.odd {
		b.notes = append(b.notes,
			fmt.Sprintf("interface %q is called %q in the policy, as Linux names have at most 15 bytes, no "+
				"blanks, and are not \"local\" or \"lo\": --map OLD=NEW chooses another", name, b.renamed.given[name]))
	}
	if len(b.draft.Uplinks) == 0 {
		b.notes = append(b.notes, "no uplink was found: for no default route does the export show the interface of its gateway")
	} else if off := b.forwardsNothing(); off != nil {
		off.Merge("[pbr] has no sysctl: this machine forwards nothing unless something else has it do so")
	} else {
		b.notes = append(b.notes, b.draft.Route("RouterOS"))
	}
	for _, t := range b.tableOrder {
		if t.draft.Name != t.name {
			b.notes = append(b.notes, fmt.Sprintf("routing table %q is called %q in the policy", t.name, t.draft.Name))
		}
	}
}
