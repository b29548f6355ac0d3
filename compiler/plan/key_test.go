package plan

import (
	"net/netip"
	"testing"
)

func TestKeyRoundTrip(t *testing.T) {
	for _, s := range []string{"192.0.2.1", "0.0.0.0", "255.255.255.255"} {
		t.Run(s, func(t *testing.T) {
			if got := KeyFromAddr(netip.MustParseAddr(s)).Addr(TypeIPv4); got.String() != s {
				t.Errorf("key of %s reads back as %s", s, got)
			}
		})
	}
	if got := KeyFromAddr(netip.MustParseAddr("2001:db8::1%eth0")).Addr(TypeIPv6); got.String() != "2001:db8::1" {
		t.Errorf("IPv6 key reads back as %s", got)
	}
	if KeyFromAddr(netip.MustParseAddr("::ffff:192.0.2.1")) != KeyFromAddr(netip.MustParseAddr("192.0.2.1")) {
		t.Error("a mapped address is another key than the IPv4 address")
	}
	if KeyFromAddr(netip.Addr{}) != (Key{}) || (Key{1}).Addr(TypePort).IsValid() {
		t.Error("what is not an address became one")
	}
	for typ, v := range map[Type]uint32{TypeProto: 0xfe, TypePort: 0xfedc, TypeMark: 0xfedcba98} {
		if got := KeyFromUint(typ, v).Uint(typ); got != v {
			t.Errorf("%s %#x reads back as %#x", typ, v, got)
		}
	}
	if KeyFromUint(TypeIPv6, 1) != (Key{}) {
		t.Error("a number became an address")
	}
	if got := KeyFromString("eth0").Text(); got != "eth0" {
		t.Errorf("eth0 reads back as %q", got)
	}
	if got := KeyFromString("0123456789abcdefgh").Text(); got != "0123456789abcde" {
		t.Errorf("a long name was cut to %q", got)
	}
	mac := [6]byte{2, 0, 0, 0, 0, 255}
	if got := KeyFromMAC(mac).MAC(); got != mac {
		t.Errorf("MAC reads back as %x", got)
	}
}

func TestKeyBytesAreBigEndian(t *testing.T) {
	if got, want := KeyFromUint32(0x01020304), (Key{1, 2, 3, 4}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, want := KeyFromUint16(443), (Key{1, 0xbb}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestKeyNeighbours(t *testing.T) {
	addr := func(s string) Key { return KeyFromAddr(netip.MustParseAddr(s)) }
	for _, c := range []struct {
		typ      Type
		low, top Key
	}{
		{TypeIPv4, addr("10.0.0.255"), addr("10.0.1.0")},
		{TypeIPv6, addr("2001:db8::ffff"), addr("2001:db8::1:0")},
		{TypePort, KeyFromUint16(255), KeyFromUint16(256)},
	} {
		t.Run(c.typ.String(), func(t *testing.T) {
			if got, ok := c.low.Next(c.typ); !ok || got != c.top {
				t.Errorf("after %v comes %v, %v", c.low, got, ok)
			}
			if got, ok := c.top.Prev(c.typ); !ok || got != c.low {
				t.Errorf("before %v comes %v, %v", c.top, got, ok)
			}
			if c.low.Compare(c.top) != -1 || c.top.Compare(c.low) != 1 {
				t.Errorf("%v is not below %v", c.low, c.top)
			}
			if k, ok := MaxKey(c.typ).Next(c.typ); ok {
				t.Errorf("%s: after the highest key comes %v", c.typ, k)
			}
			if k, ok := (Key{}).Prev(c.typ); ok {
				t.Errorf("%s: before zero comes %v", c.typ, k)
			}
		})
	}
}

func TestEveryTypeAndFieldHasAWidth(t *testing.T) {
	t.Run("every type", func(t *testing.T) {
		for typ := TypeIfname; typ <= TypePresence; typ++ {
			if typ.Width() == 0 || typ.String() == "" {
				t.Errorf("type %d has no width or name", uint8(typ))
			}
		}
	})
	t.Run("every field", func(t *testing.T) {
		for f := FieldIIFName; f <= FieldFibSAddrBack; f++ {
			if f.Type().Width() == 0 {
				t.Errorf("field %d has no type", f)
			}
		}
	})
	t.Run("and nothing else", func(t *testing.T) {
		if Type(200).Width() != 0 || Field(200).Type() != 0 || Type(200).String() != "type(200)" {
			t.Error("a type or field that does not exist has a width, type or name")
		}
	})
}
