package healthcheck

import (
	"fmt"
	"slices"

	"golang.org/x/net/dns/dnsmessage"
)

// maxHeader and maxBody bound what is read of an http answer; its body is read only where something
// is expected of it.
const (
	maxHeader = 64 << 10
	maxBody   = 64 << 10
)

// Expect is what an answer must be to count as one. Its zero value asks for a status of 200 to 299
// (http), for NOERROR or NXDOMAIN (dns).
type Expect struct {
	// Statuses are the only ones that count, if there are any.
	Statuses []int
	// Body must occur in an http answer's body, in the first maxBody bytes of it.
	Body string
	// Name is what a resolver is asked for; empty: the root's name servers.
	Name string
	// Address means that the answer must hold an A or AAAA record.
	Address bool
}

func (e Expect) equal(f Expect) bool {
	return slices.Equal(e.Statuses, f.Statuses) && e.Body == f.Body && e.Name == f.Name && e.Address == f.Address
}

// dnsQuestion is what a name server is asked.
type dnsQuestion struct {
	name string
	kind dnsmessage.Type
}

// questions returns what a resolver is asked, one after the other until an answer satisfies: every
// resolver knows the name servers of the root, and no one owns that name; a name may have addresses
// of one IP version alone.
func (e Expect) questions() []dnsQuestion {
	switch {
	case e.Name == "":
		return []dnsQuestion{{".", dnsmessage.TypeNS}}
	case e.Address:
		return []dnsQuestion{{e.Name, dnsmessage.TypeA}, {e.Name, dnsmessage.TypeAAAA}}
	}
	return []dnsQuestion{{e.Name, dnsmessage.TypeA}}
}

// resolved returns what is wrong with a resolver's answer. SERVFAIL and REFUSED are failures: a
// resolver whose own line is dead says SERVFAIL.
func (e Expect) resolved(answer dnsAnswer) error {
	known := answer.code == dnsmessage.RCodeSuccess || !e.Address && answer.code == dnsmessage.RCodeNameError
	switch {
	case !known:
		return fmt.Errorf("the server answers %s", codeName(answer.code))
	case e.Address && len(answer.addrs) == 0:
		return fmt.Errorf("the answer has no address of %s", e.Name)
	}
	return nil
}

// codeNames are the names of DNS response codes, from 0 on (IANA, DNS RCODEs).
var codeNames = []string{"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET",
	"NXRRSET", "NOTAUTH", "NOTZONE"}

func codeName(code dnsmessage.RCode) string {
	if int(code) < len(codeNames) {
		return codeNames[code]
	}
	return fmt.Sprintf("code %d", code)
}
