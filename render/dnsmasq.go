package render

import (
	"fmt"
	"io"

	"pbr/compiler/plan"
)

// DnsmasqHead is the first line of a file that Dnsmasq writes, by which pbr knows its own.
const DnsmasqHead = "# Written by pbr from the policy's lists of domains; changes are overwritten. dnsmasq reads it when it starts.\n"

// DnsmasqName is a name with the sets that dnsmasq is to put its addresses into, and their IP
// versions.
type DnsmasqName struct {
	Name     string
	Sets     []string
	Families []plan.Family
}

// Dnsmasq writes a configuration file of dnsmasq (2.87 and later) that has it fill sets of table
// inet pbr by itself: one line for each name, because only the first of several counts, and the
// most specific name alone.
func Dnsmasq(w io.Writer, names []DnsmasqName) error {
	b := []byte(DnsmasqHead)
	for _, n := range names {
		b = append(append(append(b, "nftset=/"...), n.Name...), '/')
		for i, set := range n.Sets {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(fmt.Appendf(b, "%d#inet#%s#", n.Families[i], plan.TableName), set...)
		}
		b = append(b, '\n')
	}
	if _, err := w.Write(b); err != nil {
		return fmt.Errorf("writing the configuration of dnsmasq: %w", err)
	}
	return nil
}
