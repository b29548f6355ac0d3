package answer

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/dns/dnsmessage"
)

// lists are those of the tests, by index.
var lists = [][]string{
	{"example.com"},
	{"deep.example.com", "example.net"},
	{"localhost"},
}

// message builds an answer to one question.
func message(t testing.TB, h dnsmessage.Header, name string, kind dnsmessage.Type, records ...dnsmessage.Resource) []byte {
	t.Helper()
	m := dnsmessage.Message{Header: h, Answers: records, Questions: []dnsmessage.Question{
		{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET}}}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var response = dnsmessage.Header{ID: 7, Response: true, RecursionAvailable: true}

func record(name string, ttl uint32, body dnsmessage.ResourceBody) dnsmessage.Resource {
	return dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name),
		Class: dnsmessage.ClassINET, TTL: ttl}, Body: body}
}

func a(name, addr string, ttl uint32) dnsmessage.Resource {
	return record(name, ttl, &dnsmessage.AResource{A: netip.MustParseAddr(addr).As4()})
}

func aaaa(name, addr string, ttl uint32) dnsmessage.Resource {
	return record(name, ttl, &dnsmessage.AAAAResource{AAAA: netip.MustParseAddr(addr).As16()})
}

func cname(name, target string) dnsmessage.Resource {
	return record(name, 60, &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(target)})
}

func https(name string, body []byte) dnsmessage.Resource {
	return record(name, 30, &dnsmessage.UnknownResource{Type: dnsmessage.TypeHTTPS, Data: body})
}

func addr(s string, ttl uint32) Address { return Address{netip.MustParseAddr(s), ttl} }

func TestRead(t *testing.T) {
	opt := record(".", 0, &dnsmessage.OPTResource{})
	opt.Header.Class = 1232
	for _, tt := range []struct {
		name  string
		msg   []byte
		want  []Address
		lists []int
		asked string
	}{
		{name: "address", msg: message(t, response, "example.com.", dnsmessage.TypeA, a("example.com.", "192.0.2.1", 60)),
			want: []Address{addr("192.0.2.1", 60)}, lists: []int{0}, asked: "example.com"},
		{name: "several, of both versions and all letters", msg: message(t, response, "wWw.eXample.COM.", dnsmessage.TypeA,
			a("www.example.com.", "192.0.2.1", 60), aaaa("WWW.EXAMPLE.COM.", "2001:db8::1", 9)),
			want: []Address{addr("192.0.2.1", 60), addr("2001:db8::1", 9)}, lists: []int{0}, asked: "www.example.com"},
		{name: "below two lists", msg: message(t, response, "a.b.deep.example.com.", dnsmessage.TypeA,
			a("a.b.deep.example.com.", "192.0.2.1", 1)),
			want: []Address{addr("192.0.2.1", 1)}, lists: []int{0, 1}, asked: "a.b.deep.example.com"},
		{name: "a chain counts by the question's name", msg: message(t, response, "www.example.com.", dnsmessage.TypeA,
			cname("www.example.com.", "X.cdn.test."), cname("x.cdn.test.", "y.cdn.test."), a("y.cdn.test.", "192.0.2.9", 20)),
			want: []Address{addr("192.0.2.9", 20)}, lists: []int{0}, asked: "www.example.com"},
		{name: "a chain to a listed name", msg: message(t, response, "www.test.", dnsmessage.TypeA,
			cname("www.test.", "example.com."), a("example.com.", "192.0.2.9", 20))},
		{name: "addresses of names that nothing leads to", msg: message(t, response, "example.com.", dnsmessage.TypeA,
			a("other.test.", "192.0.2.8", 20), a("example.com.", "192.0.2.9", 20)),
			want: []Address{addr("192.0.2.9", 20)}, lists: []int{0}, asked: "example.com"},
		{name: "truncated by its flag", msg: message(t, dnsmessage.Header{Response: true, Truncated: true},
			"example.com.", dnsmessage.TypeA, a("example.com.", "192.0.2.1", 60)),
			want: []Address{addr("192.0.2.1", 60)}, lists: []int{0}, asked: "example.com"},
		{name: "hints of a service binding", msg: message(t, response, "example.com.", dnsmessage.TypeHTTPS, https("example.com.",
			[]byte{0, 1, 3, 'c', 'd', 'n', 0, 0, 1, 0, 3, 2, 'h', '2', 0, 4, 0, 8, 192, 0, 2, 1, 192, 0, 2, 2, 0,
				6, 0, 16, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7})),
			want: []Address{addr("192.0.2.1", 30), addr("192.0.2.2", 30), addr("2001:db8::7", 30)}, lists: []int{0}, asked: "example.com"},
		{name: "a hint that is cut off", msg: message(t, response, "example.com.", dnsmessage.TypeHTTPS,
			https("example.com.", []byte{0, 1, 0, 0, 4, 0, 9, 192, 0}))},
		{name: "a time that no server may set", msg: message(t, response, "example.com.", dnsmessage.TypeA,
			a("example.com.", "192.0.2.1", 1<<31), a("example.com.", "192.0.2.2", 1<<31-1)),
			want: []Address{addr("192.0.2.1", 0), addr("192.0.2.2", maxTTL)}, lists: []int{0}, asked: "example.com"},
		{name: "a single label", msg: message(t, response, "localhost.", dnsmessage.TypeA, a("localhost.", "192.0.2.1", 1)),
			want: []Address{addr("192.0.2.1", 1)}, lists: []int{2}, asked: "localhost"},
		{name: "a name that only ends alike", msg: message(t, response, "notexample.com.", dnsmessage.TypeA,
			a("notexample.com.", "192.0.2.1", 1))},
		{name: "a name above", msg: message(t, response, "com.", dnsmessage.TypeA, a("com.", "192.0.2.1", 1))},
		{name: "the root", msg: message(t, response, ".", dnsmessage.TypeA, a(".", "192.0.2.1", 1))},
		{name: "a question", msg: message(t, dnsmessage.Header{}, "example.com.", dnsmessage.TypeA, a("example.com.", "192.0.2.1", 60))},
		{name: "a failure", msg: message(t, dnsmessage.Header{Response: true, RCode: dnsmessage.RCodeServerFailure},
			"example.com.", dnsmessage.TypeA, a("example.com.", "192.0.2.1", 60))},
		{name: "an update", msg: message(t, dnsmessage.Header{Response: true, OpCode: 5}, "example.com.",
			dnsmessage.TypeA, a("example.com.", "192.0.2.1", 60))},
		{name: "no answer", msg: message(t, response, "example.com.", dnsmessage.TypeA)},
		{name: "a record of another class", msg: message(t, response, "example.com.", dnsmessage.TypeA, opt)},
		{name: "nothing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := NewReader(NewNames(lists)).Read(tt.msg)
			if ok != (tt.want != nil) {
				t.Fatalf("ok is %v, want %v", ok, tt.want != nil)
			}
			if ok && (got.Name != tt.asked || !slices.Equal(got.Addresses, tt.want) || !slices.Equal(got.Lists, tt.lists)) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// What comes before the place where a message is cut off counts, and nothing else.
func TestReadCutOff(t *testing.T) {
	msg := message(t, response, "example.com.", dnsmessage.TypeA, a("example.com.", "192.0.2.1", 60), a("example.com.", "192.0.2.2", 60))
	whole := []Address{addr("192.0.2.1", 60), addr("192.0.2.2", 60)}
	for n := range msg {
		got, ok := NewReader(NewNames(lists)).Read(msg[:n])
		if ok && !cmp.Equal(got.Addresses, whole[:len(got.Addresses)],
			cmp.Comparer(func(a, b Address) bool { return a == b })) || len(got.Addresses) == 2 {
			t.Fatalf("%d bytes: %v, %v", n, ok, got.Addresses)
		}
	}
}

// One answer may not have us remember any number of addresses.
func TestReadBound(t *testing.T) {
	var many []dnsmessage.Resource
	for i := range 2 * maxAddresses {
		many = append(many, a("example.com.", netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}).String(), 1))
	}
	got, ok := NewReader(NewNames(lists)).Read(message(t, response, "example.com.", dnsmessage.TypeA, many...))
	if !ok || len(got.Addresses) != maxAddresses {
		t.Errorf("%v, %d addresses", ok, len(got.Addresses))
	}
}

func FuzzRead(f *testing.F) {
	f.Add(message(f, response, "www.example.com.", dnsmessage.TypeA, cname("www.example.com.", "cdn.test."),
		a("cdn.test.", "192.0.2.1", 60)))
	f.Add(message(f, response, "example.com.", dnsmessage.TypeHTTPS, https("example.com.", []byte{0, 1, 0, 0, 4, 0, 4, 192, 0, 2, 1})))
	f.Add(message(f, response, "deep.example.com.", dnsmessage.TypeAAAA, aaaa("deep.example.com.", "2001:db8::1", 60)))
	names := NewNames(lists)
	f.Fuzz(func(t *testing.T, msg []byte) {
		got, ok := NewReader(names).Read(msg)
		if ok && (len(got.Lists) == 0 || len(got.Addresses) == 0 || len(got.Addresses) > maxAddresses) {
			t.Errorf("%+v", got)
		}
		if ok && !slices.Equal(got.Lists, names.Find(nil, []byte(got.Name))) {
			t.Errorf("%q in lists %v", got.Name, got.Lists)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	for _, bb := range []struct{ name, asked string }{{"listed", "www.example.com."}, {"other", "www.example.org."}} {
		msg := message(b, response, bb.asked, dnsmessage.TypeA, cname(bb.asked, "cdn.test."),
			a("cdn.test.", "192.0.2.1", 60), a("cdn.test.", "192.0.2.2", 60))
		b.Run(bb.name, func(b *testing.B) {
			r := NewReader(NewNames(lists))
			b.ReportAllocs()
			for b.Loop() {
				r.Read(msg)
			}
		})
	}
}
