package routeros

import (
	"slices"
	"strings"

	"pbr/compiler/from"
	"pbr/compiler/lazy"
)

// Notes that several places give.
const (
	noteInbound = "replies to what arrives on an uplink leave through it without a rule"
	noteRunning = "a connection stays on its uplink without a rule"
	notePacket  = "RouterOS looks at each packet: here the first packet of a connection decides, and the rest of it follows"
	noteLate    = "RouterOS routes the first packet via main and only later ones by the mark: here the first one is routed as they are"
	noteQueues  = "it does not affect routing: keep it in an nftables table of your own"
)

// buildPolicies turns the mangle rules into policies.
func (b *builder) buildPolicies() {
	for _, s := range b.mangle {
		if s.has("action", "add-src-to-address-list") {
			b.learned[s.get("address-list")] = append(b.learned[s.get("address-list")], s)
		}
	}
	var lists [2][2][]policyItem // by local, by IP version
	for _, six := range []bool{false, true} {
		for i, base := range []string{"prerouting", "output"} {
			lists[i][index(six)] = b.deal(b.program(six, base))
		}
	}
	for i := range lists {
		b.writePolicies(merge(lists[i][0], lists[i][1], b.six))
	}
	b.accountForRest()
}

// merge joins the policies of both IP versions. Where both say the same they are one; otherwise
// they do not meet, and only the order within a version counts.
func merge(four, six []policyItem, version bool) (out []policyItem) {
	add := func(items ...policyItem) {
		for _, item := range items {
			item.version = version
			out = append(out, item)
		}
	}
	for _, item := range four {
		at := slices.IndexFunc(six, func(o policyItem) bool { return item.sameAs(&o) })
		if at < 0 {
			add(item)
			continue
		}
		add(six[:at]...)
		item.by = append(slices.Clip(item.by), six[at].by...)
		out = append(out, item)
		six = six[at+1:]
	}
	add(six...)
	return out
}

// sameAs reports whether policies of the two IP versions say the same.
func (i *policyItem) sameAs(o *policyItem) bool {
	c := *o.cond
	c.ipv = i.cond.ipv
	if i.target != o.target || (i.balance == nil) != (o.balance == nil) || !i.cond.sameKeys(&c) {
		return false
	}
	return i.balance == nil || i.balance.Method == o.balance.Method && i.balance.Sticky == o.balance.Sticky &&
		slices.Equal(i.balance.Hash, o.balance.Hash) &&
		slices.Equal(i.balance.Members, o.balance.Members)
}

// program evaluates a base chain of one IP version.
func (b *builder) program(six bool, base string) []entry {
	chains := map[string][]*instr{}
	any := false
	for _, s := range b.mangle {
		if strings.HasPrefix(s.section, "ipv6") != six {
			continue
		}
		name := s.get("chain")
		if name == base {
			name, any = baseChain, true
		}
		chains[name] = append(chains[name], b.instr(s, base == "output")...)
	}
	if !any {
		return nil
	}
	p := newProgram(b.config, chains, false)
	list, _ := p.eval(p.start, "", path{left: -1})
	list = p.giveLate(list)
	if p.err != nil {
		for _, s := range b.mangle {
			if strings.HasPrefix(s.section, "ipv6") == six && effects.Get()[s.get("action")] {
				s.DropSevere(p.err.Error())
			}
		}
		return nil
	}
	return list
}

// effects are the actions that have to do with routing.
var effects = lazy.Value[map[string]bool]{Make: func() map[string]bool {
	return map[string]bool{"accept": true, "mark-connection": true, "mark-routing": true, "jump": true, "return": true}
}}

// instr reads what a rule does to routing, none if nothing.
func (b *builder) instr(s *statement, local bool) []*instr {
	action := orElse(s.get("action"), "accept")
	in := &instr{st: s, passes: !s.has("passthrough", "no")}
	switch action {
	case "accept":
	case "mark-connection":
		in.effect, in.mark = marksConnection, s.get("new-connection-mark")
		if in.mark == "no-mark" {
			in.mark = ""
		}
	case "mark-routing":
		in.effect, in.mark = marksRouting, s.get("new-routing-mark")
	case "jump":
		in.effect, in.target = jumps, s.get("jump-target")
	case "return":
		in.effect = returns
	default:
		if in.passes || action == "log" || strings.HasPrefix(action, "add-") || action == "passthrough" {
			return nil
		}
	}
	in.matched = b.match(s, local)
	if in.unknown != "" || in.impossible != "" || in.inbound {
		return nil
	}
	return []*instr{in}
}

// unjoined means that matchers of rules that belong together cannot be in one policy.
func (c *config) unjoined(st *statement, e entry) {
	for _, s := range append(slices.Clip(e.by), st) {
		if s != nil {
			s.DropSevere("its matchers and those of the rules that lead to it or follow it cannot be joined in one policy")
		}
	}
}

// target is the table that a routing mark leads to, empty for main.
func (b *builder) target(mark string) (name string, ok bool) {
	name = orElse(b.markTables[mark], mark)
	if name == "main" {
		return "", true
	}
	t := b.tables[name]
	if t == nil {
		return "", false
	}
	return t.draft.Name, true
}

func (b *builder) writePolicies(items []policyItem) {
	for i := range items {
		item := &items[i]
		p := &from.Policy{Keys: b.keys(item.cond, item.version), Log: item.cond.log, Origins: b.origins(item.by)}
		switch {
		case item.balance != nil:
			item.balance.Name = b.names.Give("balance")
			item.balance.Origins = p.Origins[:1]
			b.draft.Balances = append(b.draft.Balances, item.balance)
			p.Target = from.Key{Name: "balance", Value: from.Quote(item.balance.Name)}
		case item.target == "":
			p.Target = from.Key{Name: "default", Value: "true"}
		case b.closing(item.target) != "":
			p.Target = from.Key{Name: "action", Value: from.Quote(b.closing(item.target))}
		default:
			p.Target = from.Key{Name: "table", Value: from.Quote(item.target)}
		}
		p.Name = b.policies.Give(item.wanted())
		b.draft.Policies = append(b.draft.Policies, p)
		b.account(*item, p.Name)
	}
}

// wanted is the name that a policy should have: of its comment, its connection mark, or its routing
// mark.
func (i *policyItem) wanted() string {
	for _, s := range i.by {
		if name := slug(s.get("comment")); name != "" {
			return name
		}
	}
	for _, key := range []string{"new-connection-mark", "new-routing-mark", "jump-target"} {
		for _, s := range i.by {
			if name := s.get(key); name != "" && i.balance == nil {
				return name
			}
		}
	}
	if i.balance != nil {
		return "balance"
	}
	return "accept"
}

// keys are a policy's selectors.
func (b *builder) keys(c *cond, version bool) (out []from.Key) {
	for k, s := range c.keys {
		if s == nil {
			continue
		}
		var values []string
		for _, v := range s.pos {
			values = append(values, b.listName(v))
		}
		for _, v := range s.neg {
			values = append(values, "!"+b.listName(v))
		}
		text := from.Strings(values)
		switch key(k) {
		case keyDSCP, keyICMP, keyDPort, keySPort:
			text = from.Numbers(values)
		case keyProto:
			text = from.Numbers(values)
		}
		out = append(out, from.Key{Name: keyNames[k], Value: text})
	}
	if version && c.ipv != 0 {
		out = append(out, from.Key{Name: "ipv", Value: string(rune('0' + c.ipv))})
	}
	return out
}

func (b *builder) listName(v string) string {
	if name, ok := strings.CutPrefix(v, "@"); ok {
		return "@" + b.listNames[name]
	}
	return v
}

// account tells the statements of a policy what became of them.
func (b *builder) account(item policyItem, name string) {
	marked := slices.ContainsFunc(item.by, func(s *statement) bool { return s.has("action", "mark-connection") })
	for _, s := range item.by {
		s.Import("policy " + name)
		if s.has("action", "mark-routing") && !marked && item.balance == nil && item.target != "" {
			s.Change(notePacket)
		}
		if item.late {
			s.Change(noteLate)
		}
	}
}

// accountForRest tells of the mangle rules that no policy came of.
func (b *builder) accountForRest() {
	reached := b.reachedChains()
	for _, s := range b.mangle {
		if !s.Accounted() {
			b.accountFor(s, reached[s.section+s.get("chain")])
		}
	}
}

// reachedChains are the chains that prerouting and output lead to, with their section before them.
func (b *builder) reachedChains() map[string]bool {
	reached := map[string]bool{}
	for _, section := range []string{"ip firewall mangle", "ipv6 firewall mangle"} {
		reached[section+"prerouting"], reached[section+"output"] = true, true
	}
	for more := true; more; {
		more = false
		for _, s := range b.mangle {
			if to := s.section + s.get("jump-target"); s.has("action", "jump") && reached[s.section+s.get("chain")] && !reached[to] {
				reached[to], more = true, true
			}
		}
	}
	return reached
}

func (b *builder) accountFor(s *statement, reached bool) {
	m := b.match(s, s.has("chain", "output"))
	action := orElse(s.get("action"), "accept")
	switch {
	case action == "log":
		s.Drop("it only logs: log = true of a policy does that")
	case !effects.Get()[action]:
		s.Drop(noteQueues)
	case action == "mark-connection" && !reached && b.byUplink(s):
		s.Merge(noteInbound)
	case action == "mark-connection" && !reached && !b.routed(s.get("new-connection-mark")):
		s.Drop(noteQueues)
	case !reached && effects.Get()[action] && action != "mark-connection" && action != "mark-routing":
		s.Drop("the chain " + s.get("chain") + " does not affect routing")
	case !reached:
		s.DropSevere("marks of the chain " + s.get("chain") + " come after routing: only prerouting and output become policies")
	case m.unknown != "":
		s.DropSevere(m.unknown)
	case m.inbound && b.elsewhere(s):
		s.DropSevere("what arrives on an uplink is never classified, and this rule sends it to another one: " +
			"give the hosts there an interface of their own")
	case m.inbound:
		s.Merge(noteInbound)
	case m.impossible != "":
		s.Merge(m.impossible)
	case action == "accept":
		s.Merge("what it lets through is default's anyway")
	case !m.fresh:
		s.Merge(noteRunning)
	case action == "jump" && slices.Contains([]string{"prerouting", "output"}, s.get("jump-target")):
		s.DropSevere("its chains lead back to each other")
	case m.guard.asked && !m.guard.not && m.guard.mark != "":
		b.accountForMark(s, m.guard.mark)
	default:
		s.Merge("it does not change how any packet is routed")
	}
}

// routed reports whether any rule routes connections with a mark.
func (b *builder) routed(mark string) bool {
	return slices.ContainsFunc(b.mangle, func(s *statement) bool {
		return s.has("action", "mark-routing") &&
			s.has("connection-mark", mark)
	})
}

// elsewhere reports whether a rule for packets of an uplink sends them to another one.
func (b *builder) elsewhere(s *statement) bool {
	marks := []string{s.get("new-routing-mark")}
	if s.has("action", "mark-connection") {
		marks = nil
		for _, o := range b.mangle {
			if o.has("action", "mark-routing") && o.has("connection-mark", s.get("new-connection-mark")) && o.has("chain", "prerouting") {
				marks = append(marks, o.get("new-routing-mark"))
			}
		}
	}
	arrives, _ := b.members(s.get("in-interface-list"), 0)
	if name := s.get("in-interface"); name != "" {
		arrives = append(arrives, b.iface(name))
	}
	for _, mark := range marks {
		t := b.tables[orElse(b.markTables[mark], mark)]
		if t == nil || len(t.ways) == 0 {
			continue
		}
		first := slices.MinFunc(t.ways, func(x, y way) int { return x.Distance - y.Distance })
		if !slices.ContainsFunc(b.lineOrder, func(l *line) bool {
			return l.Name == first.Uplink &&
				slices.Contains(arrives, l.Interface)
		}) {
			return true
		}
	}
	return false
}

// byUplink reports whether a rule of input, forward or postrouting is for packets of an uplink.
func (b *builder) byUplink(s *statement) bool {
	for _, key := range []string{"in-interface", "out-interface"} {
		if name := s.get(key); name != "" && b.isUplink(b.iface(name)) {
			return true
		}
		if members, ok := b.members(s.get(key+"-list"), 0); ok && slices.ContainsFunc(members, b.isUplink) {
			return true
		}
	}
	return false
}

// accountForMark tells of a rule for connections of a mark that no policy came of.
func (b *builder) accountForMark(s *statement, mark string) {
	for _, o := range b.mangle {
		switch {
		case o.get("new-connection-mark") != mark:
		case len(o.Became) > 0:
			s.Merge(noteRunning)
			return
		case b.match(o, false).inbound || b.byUplink(o):
			s.Merge(noteInbound)
			return
		}
	}
	s.DropSevere("no rule that was carried over sets the connection mark " + mark)
}
