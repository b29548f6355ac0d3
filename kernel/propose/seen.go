package propose

import (
	"fmt"
	"strings"

	"pbr/compiler/from"
	"pbr/kernel/facts"
)

// seen lists what was found.
func (p *proposal) seen() (out []string) {
	for _, l := range p.survey.Links {
		out = append(out, p.seenLink(l))
	}
	if len(p.survey.Links) == 0 {
		out = append(out, "no interface but the loopback")
	}
	told := map[facts.SourceNAT]bool{}
	for _, r := range p.survey.SourceNAT {
		if told[r] {
			continue
		}
		told[r] = true
		where := "through " + r.OIF
		if r.OIF == "" {
			where = "through any interface"
		}
		out = append(out, fmt.Sprintf("NAT: table %s translates what leaves %s", r.Table, where))
	}
	if t := p.survey.Tunnelled; len(t) > 0 {
		out = append(out, fmt.Sprintf(
			"half-default routes (0.0.0.0/1 and the like) through %s: they count as default routes, and "+
				"pbr's default comes before them", strings.Join(t, ", ")))
	}
	for _, t := range p.survey.Tables {
		out = append(out, fmt.Sprintf(
			"an ip rule of others leads to a default route in table %d: \"pbr doctor\" says which comes first", t))
	}
	for _, u := range p.survey.Unknown {
		out = append(out, fmt.Sprintf("%s: not checked: %s", u.What, u.Why))
	}
	for i := range out {
		out[i] = from.Printable(out[i])
	}
	return out
}

func (p *proposal) seenLink(l facts.Interface) string {
	addresses := make([]string, len(l.Addresses))
	for i, a := range l.Addresses {
		addresses[i] = a.String()
	}
	what := strings.Join(addresses, " ")
	if what == "" {
		what = "no address"
	}
	text := fmt.Sprintf("%-15s %s (%s): %s", l.Name, p.roles[l.Name], l.Kind, what)
	switch {
	case l.Master != "":
		text = fmt.Sprintf("%-15s port of %s", l.Name, l.Master)
	case !l.Up:
		text += ", down"
	case !l.Carrier:
		text += ", no carrier"
	}
	return text
}
