package healthcheck

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"

	"github.com/miekg/dns"
)

// Expect is what an answer must be to count as one. Its zero value asks for a status of 200 to 299 (http), for NOERROR or NXDOMAIN (dns).
type Expect struct {
	// Statuses are the only ones that count, if there are any.
	Statuses []int
	// Body must occur in an http answer's body, in the first maxBody bytes of it.
	Body string
	// Name is what a resolver is asked for; empty: the root's name servers.
	Name string
	// Address tells that the answer must hold an A or AAAA record.
	Address bool
}

func (e Expect) equal(f Expect) bool {
	return slices.Equal(e.Statuses, f.Statuses) && e.Body == f.Body && e.Name == f.Name && e.Address == f.Address
}

// status returns what is wrong with the status of an http answer. 3xx is no answer: captive portals and expired SIMs redirect everything to
// their own page.
func (e Expect) status(is int) error {
	if len(e.Statuses) > 0 && slices.Contains(e.Statuses, is) || len(e.Statuses) == 0 && is >= 200 && is <= 299 {
		return nil
	}
	return fmt.Errorf("the server answers %d %s", is, http.StatusText(is))
}

// body returns what is wrong with the body of an http answer.
func (e Expect) body(is []byte) error {
	if bytes.Contains(is, []byte(e.Body)) {
		return nil
	}
	return fmt.Errorf("the answer does not contain %q", e.Body)
}

// questions returns what a resolver is asked, one after the other until an answer satisfies: every resolver knows the name servers of the
// root, and no one owns that name; a name may have addresses of one IP version alone.
func (e Expect) questions() []*dns.Msg {
	switch {
	case e.Name == "":
		return []*dns.Msg{new(dns.Msg).SetQuestion(".", dns.TypeNS)}
	case e.Address:
		return []*dns.Msg{new(dns.Msg).SetQuestion(dns.Fqdn(e.Name), dns.TypeA), new(dns.Msg).SetQuestion(dns.Fqdn(e.Name), dns.TypeAAAA)}
	}
	return []*dns.Msg{new(dns.Msg).SetQuestion(dns.Fqdn(e.Name), dns.TypeA)}
}

// resolved returns what is wrong with a resolver's answer. SERVFAIL and REFUSED are failures: a resolver whose own line is dead says SERVFAIL.
func (e Expect) resolved(answer *dns.Msg) error {
	known := answer.Rcode == dns.RcodeSuccess || !e.Address && answer.Rcode == dns.RcodeNameError
	switch {
	case !known:
		return fmt.Errorf("the server answers %s", dns.RcodeToString[answer.Rcode])
	case e.Address && !slices.ContainsFunc(answer.Answer, isAddress):
		return fmt.Errorf("the answer holds no address of %s", e.Name)
	}
	return nil
}

func isAddress(r dns.RR) bool {
	t := r.Header().Rrtype
	return t == dns.TypeA || t == dns.TypeAAAA
}
