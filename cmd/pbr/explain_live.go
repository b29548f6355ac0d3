package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"pbr/cmd/pbr/daemon"
	"pbr/compiler"
	"pbr/compiler/explain"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
	"pbr/healthcheck"
	"pbr/kernel"
	"pbr/kernel/facts"
)

// liveExplainer prepares the policy with what the kernel has, and the uplinks' health. It takes no
// lock: what changes meanwhile is explained as it was, or as it is.
func (c command) liveExplainer(f *policyFile, k *kernel.Kernel) (*explain.Explainer, error) {
	now, err := c.readSituation(f.doc, k)
	if err != nil {
		return nil, err
	}
	compiled := compiler.New(f.doc)
	want, problems := compiled.Compile(now.host, now.down())
	if want == nil {
		return nil, c.report(f, problems)
	}
	have, err := k.Live(want)
	if err != nil {
		return nil, err
	}
	live, err := surroundings(f.doc, k, have)
	if err != nil {
		return nil, err
	}
	have.Numbers, have.Deferred = want.Numbers, want.Deferred
	own, strange := have.Ruleset.Own()
	have.Ruleset = own
	inForce := inForceNow(k)
	live.Others = liveNotes(want, have, live.Facts.Rules, inForce != nil && inForce.Hash == f.text.Hash)
	if len(strange) > 0 {
		live.Others = append(live.Others, tampered+" ("+firstOf(strange)+"), which this answer ignores")
	}
	live.Health, live.NoFlowtables = now.reasons(quotasOf(now.watch, f.doc, k)), now.host.NoFlowtables
	live.Failing = func(uplink string) *plan.Plan {
		p, _ := compiled.Compile(now.host, now.withoutUplink(uplink))
		return p
	}
	if now.watch != nil {
		live.EchoIDs, live.ProbePort = now.watch.EchoIDs, probePorts(f.doc, k)
	}
	x, err := explain.New(f.doc, want, have, live)
	if err == nil {
		return x, nil
	}
	// What is left of the table makes no sense, as when a chain is gone that others lead to: it is
	// as the policy has it then.
	have.Ruleset, live.Others = want.Ruleset, append(live.Others, tampered+": this answer uses the policy's own table")
	return explain.New(f.doc, want, have, live)
}

// surroundings reads what else decides about packets: the machine's and other programs' routes,
// rules and chains, and what was learned of names and neighbours. have is what the kernel has of
// the policy.
func surroundings(doc *policy.Document, k *kernel.Kernel, have *plan.Plan) (live explain.Live, err error) {
	around, err := k.Surroundings(have)
	if err != nil {
		return live, err
	}
	dropping, err := k.Dropping()
	if err != nil {
		return live, err
	}
	translations, err := k.DestinationNAT()
	if err != nil {
		return live, err
	}
	live = explain.Live{
		Now: time.Now(), Zone: kernel.LocalZone(), Facts: *around, Dropping: dropWords(dropping),
		Translated: translatedWords(translations, func(dev string) bool {
			return slices.ContainsFunc(doc.Uplinks, func(u policy.Uplink) bool { return u.Interface == dev })
		}),
		NotForwarding: func(iif string, family plan.Family) string { return notForwarding(k, iif, family) },
		Domain:        learnedNames(doc, k),
	}
	if slices.ContainsFunc(doc.Policies, func(p policy.Policy) bool { return len(p.MAC) > 0 }) {
		live.MACs, err = k.Neighbours()
	}
	return live, err
}

// withoutUplink is the present health if an uplink failed now, too.
func (s *situation) withoutUplink(uplink string) compiler.Health {
	down, last := compiler.Health{}, 0
	maps.Copy(down, s.down())
	for _, order := range down {
		last = max(last, order)
	}
	for _, family := range plan.Families {
		if uv := (compiler.UplinkVersion{Uplink: uplink, Family: family}); down[uv] != compiler.Spent {
			down[uv] = last + 1
		}
	}
	return down
}

// notForwarding is explain.Live's. For IPv4 the kernel asks the interface that a packet arrives on
// (IN_DEV_FORWARD), for IPv6 the whole machine, or since Linux 6.17 the interface, too.
func notForwarding(k *kernel.Kernel, iif string, family plan.Family) string {
	path, further := "net/ipv4/conf/"+iif+"/forwarding", ""
	if family == plan.IPv6 {
		path, further = "net/ipv6/conf/all/forwarding", "net/ipv6/conf/"+iif+"/force_forwarding"
	}
	if set := k.Sysctls([]string{path, further}); set[path] != "0" || set[further] == "1" {
		return ""
	}
	if family == plan.IPv4 && k.Sysctls([]string{"net/ipv4/ip_forward"})["net/ipv4/ip_forward"] == "0" {
		path = "net/ipv4/ip_forward"
	}
	return strings.ReplaceAll(path, "/", ".")
}

// tampered says that others changed what is pbr's.
const tampered = "table inet " + plan.TableName + " was changed by somebody else: pbr diff shows the change, pbr apply repairs it"

// strangeShown is how many of the places are named that others changed.
const strangeShown = 3

// firstOf names the first of a list, and says how many more there are.
func firstOf(list []string) string {
	text := strings.Join(list[:min(strangeShown, len(list))], ", ")
	if more := len(list) - strangeShown; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// reasons are why uplinks are not used, by name.
func (s *situation) reasons(quotas map[string]*daemon.QuotaStatus) map[string]string {
	statuses, down := s.lastHealth.Uplinks, s.down()
	if s.watch != nil {
		statuses = s.watch.Uplinks
	}
	out := map[string]string{}
	for _, u := range statuses {
		if down.Order(u.Uplink, plan.Family(u.Version)) > 0 && out[u.Uplink] == "" {
			out[u.Uplink] = reason(u, quotas[u.Uplink])
		}
	}
	return out
}

// reason words why an uplink is not used.
func reason(u healthcheck.Status, quota *daemon.QuotaStatus) string {
	text := fmt.Sprintf("it is %s", u.State)
	if !u.Since.IsZero() {
		text += " since " + u.Since.Local().Format("2006-01-02 15:04:05") + fmt.Sprintf(" (%s)",
			span(time.Since(u.Since).Round(time.Second)))
	}
	switch {
	case u.State == healthcheck.ForcedDown: // its last failure may be of long ago
		text += ": pbr uplink " + u.Uplink + " auto ends that"
	case u.State == healthcheck.OverQuota:
		text += ": " + spentText(quota) + ": " + moreQuota(u.Uplink)
	case u.Why() != "":
		text += ": " + u.Why()
	}
	return text
}

// dropWords returns, by hook, which chains of others drop what they do not accept.
func dropWords(chains []facts.DropChain) map[string][]string {
	out := map[string][]string{}
	for _, c := range chains {
		out[c.Hook] = append(out[c.Hook],
			fmt.Sprintf("chain %s of table %s (hook %s) drops what its rules do not accept", c.Chain, c.Table, c.Hook))
	}
	return out
}

// liveNotes returns what may make the kernel differ from the policy; inForce means that the policy
// is the one applied last.
func liveNotes(want, have *plan.Plan, others []plan.Rule, inForce bool) (notes []string) {
	changes := plan.Diff(have, want)
	switch {
	case have.Ruleset.Empty() && len(have.Rules) == 0:
		notes = append(notes, "the policy is not applied: pbr apply")
	case inForce && len(changes.Chains) > 0:
		notes = append(notes, tampered+"; this answer describes the kernel")
	case !changes.Empty():
		notes = append(notes, "the kernel differs from the policy file, and this answer describes the kernel: "+
			"pbr diff shows the differences")
	}
	seen := map[uint32]bool{}
	for _, r := range others {
		if r.Priority > 0 && r.Priority < want.BasePriority+plan.PrioritySpan && !seen[r.Priority] {
			seen[r.Priority] = true
			notes = append(notes, fmt.Sprintf("another program's ip rule, at priority %d, comes before pbr's", r.Priority))
		}
	}
	return notes
}
