package route

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// message is one netlink message with a body.
func message(typ, flags uint16, seq uint32, body ...byte) []byte {
	return appendMessage(nil, typ, flags, seq, body)
}

// TestDumped: the parts of a dump are put together, answers to other requests are not of it, and
// its end says what went wrong.
func TestDumped(t *testing.T) {
	const seq, answer = 7, unix.RTM_NEWROUTE
	number := func(n int32) []byte { return binary.NativeEndian.AppendUint32(nil, uint32(n)) }
	text := appendText(nil, unix.NLMSGERR_ATTR_MSG, "no such table")
	one := message(answer, unix.NLM_F_MULTI, seq, 1, 2, 3)
	two := message(answer, unix.NLM_F_MULTI, seq, 4)
	end := message(unix.NLMSG_DONE, unix.NLM_F_MULTI, seq, number(0)...)
	for _, c := range []struct {
		name   string
		parts  [][]byte
		bodies [][]byte
		is     error
		text   string
	}{
		{"two parts", [][]byte{one, bytes.Join([][]byte{two, end}, nil)}, [][]byte{{1, 2, 3}, {4}}, nil, ""},
		{"nothing", [][]byte{end}, nil, nil, ""},
		{"an end without a number", [][]byte{message(unix.NLMSG_DONE, 0, seq)}, nil, nil, ""},
		{"another request's", [][]byte{message(answer, unix.NLM_F_MULTI, 6, 9), message(unix.NLMSG_DONE, 0, 6), one, end},
			[][]byte{{1, 2, 3}}, nil, ""},
		{"another kind", [][]byte{message(unix.RTM_NEWLINK, unix.NLM_F_MULTI, seq, 9), end}, nil, nil, ""},
		{"a single answer", [][]byte{message(answer, 0, seq, 5)}, [][]byte{{5}}, nil, ""},
		{"an end that failed", [][]byte{one,
			message(unix.NLMSG_DONE, unix.NLM_F_ACK_TLVS, seq, append(number(-int32(unix.ENOENT)), text...)...)},
			[][]byte{{1, 2, 3}}, unix.ENOENT, "no such file or directory: no such table"},
		{"refused", [][]byte{message(unix.NLMSG_ERROR, unix.NLM_F_ACK_TLVS, seq,
			bytes.Join([][]byte{number(-int32(unix.EINVAL)), message(unix.RTM_GETROUTE, 0, seq, 1, 2, 3, 4), text}, nil)...)},
			nil, unix.EINVAL, "invalid argument: no such table"},
		{"refused, the request left out", [][]byte{message(unix.NLMSG_ERROR, unix.NLM_F_ACK_TLVS|unix.NLM_F_CAPPED, seq,
			bytes.Join([][]byte{number(-int32(unix.EINVAL)), message(unix.RTM_GETROUTE, 0, seq), text}, nil)...)},
			nil, unix.EINVAL, "invalid argument: no such table"},
		{"refused without a text", [][]byte{message(unix.NLMSG_ERROR, 0, seq, number(-int32(unix.EPERM))...)}, nil, unix.EPERM,
			"operation not permitted"},
		{"cut", [][]byte{one[:18]}, nil, nil, "netlink message of 19 bytes in 18"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := dumped{seq: seq, answer: answer}
			var err error
			for _, part := range c.parts {
				if err = d.take(part); err != nil {
					break
				}
			}
			if (err == nil) != (c.text == "") || err != nil && (err.Error() != c.text || c.is != nil && !errors.Is(err, c.is)) {
				t.Errorf("got %v, want %q", err, c.text)
			}
			if err == nil && !d.ended || d.interrupted {
				t.Errorf("ended %v, interrupted %v", d.ended, d.interrupted)
			}
			if got, want := bytes.Join(d.bodies, []byte("|")), bytes.Join(c.bodies, []byte("|")); !bytes.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
	d := dumped{seq: seq, answer: answer}
	if err := d.take(message(answer, unix.NLM_F_MULTI|unix.NLM_F_DUMP_INTR, seq, 1)); err != nil || !d.interrupted {
		t.Errorf("a change during the dump: %v, interrupted %v", err, d.interrupted)
	}
}
