package explain

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"pbr/compiler"
	"pbr/compiler/plan"
	"pbr/compiler/policy"
)

// balanceOf returns the balance that a first packet's policy leads to; nil if it leads to none.
func (x *Explainer) balanceOf(a *Answer) *policy.Balance {
	if a.By.Kind != ByPolicy || a.question.established {
		return nil
	}
	by := slices.IndexFunc(x.doc.Policies, func(p policy.Policy) bool { return p.Name == a.By.Name })
	if by < 0 || x.doc.Policies[by].Target.Kind != policy.ToBalance {
		return nil
	}
	return x.doc.Balance(x.doc.Policies[by].Target.Name)
}

// balanceStep says how the balance chooses, and what it remembers of the client.
func (x *Explainer) balanceStep(a *Answer) string {
	b := x.balanceOf(a)
	if b == nil {
		return ""
	}
	text := b.Name + ": " + methodText(b)
	if b.Sticky.Time == 0 {
		return text
	}
	text += ", sticky " + policy.ShowDuration(b.Sticky.Time)
	if !x.isLive() || !a.packet.Src.IsValid() {
		return text
	}
	return text + "; " + x.clientText(a, b)
}

// methodText is how a balance chooses a member.
func methodText(b *policy.Balance) string {
	switch b.Method {
	case policy.BalanceRoundRobin:
		return "in turn (round-robin)"
	case policy.BalanceRandom:
		return "by chance (random)"
	}
	return "by hash of " + strings.Join(b.Hash, ", ")
}

// clientText says what a sticky balance remembers of the sender.
func (x *Explainer) clientText(a *Answer, b *policy.Balance) string {
	client := clientOf(a.packet.Src, b)
	name := client.String()
	if client.IsSingleIP() {
		name = client.Addr().String()
	}
	family := plan.FamilyOf(a.packet.Src)
	known, remembered := x.live.Facts.Clients[compiler.ClientsMap(b.Name, family)][plan.KeyFromAddr(client.Addr())]
	if !remembered {
		return "client " + name + " is not remembered"
	}
	member, _ := plan.NameOf(x.markName(known.Mark))
	text := "client " + name + " is remembered with " + member + ", for another " +
		policy.ShowDuration(max(known.Expires, 0).Truncate(time.Second))
	if chosen, _ := plan.NameOf(x.markName(a.PacketMark)); !a.ManyMarks[0] && chosen != member {
		text += ", but " + member + " is not usable"
	}
	return text
}

// clientOf is what a balance remembers of a sender: its address, or of an IPv6 address a prefix.
func clientOf(src netip.Addr, b *policy.Balance) netip.Prefix {
	bits := src.BitLen()
	if src.Is6() {
		bits = b.Sticky.Prefix6
	}
	return netip.PrefixFrom(src, bits).Masked()
}

// chosenText says how one of several members is chosen.
func (x *Explainer) chosenText(a *Answer) string {
	if b := x.balanceOf(a); b != nil && b.Method != policy.BalanceHash {
		return methodText(b)
	}
	return "by a hash that cannot be foretold"
}
