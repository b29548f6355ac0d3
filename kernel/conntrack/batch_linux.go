package conntrack

import (
	"errors"
	"fmt"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"pbr/kernel/internal/fault"
)

// batchSize is how many requests are sent at once. If all of them fail, their answers have to fit
// into a socket's buffer: 128 answers take about half of the default (net.core.rmem_default).
const batchSize = 128

// batchEnd is sent after a batch. The kernel acknowledges a message that belongs to none of its
// subsystems (netlink_rcv_skb, net/netlink/af_netlink.c), so its answer marks the end of the batch.
var batchEnd = netlink.Message{Header: netlink.Header{Type: netlink.Noop, Flags: netlink.Request | netlink.Acknowledge}}

// Marking is a connection and the bits to set in its mark, under mask.
type Marking struct {
	*Flow
	Bits, Mask uint32
}

// SetMarks is SetMark for many connections. It returns how many of them still existed.
func SetMarks(c *netlink.Conn, marks []Marking) (int, error) {
	return inBatches(c, len(marks), "before marking a connection",
		func(i int) (netlink.Message, error) { return marks[i].request() }, func(i int, err error) error {
			return marks[i].failed(err)
		})
}

// RemoveEach is Remove for many connections. It returns how many of them still existed.
func RemoveEach(c *netlink.Conn, flows []*Flow) (int, error) {
	return inBatches(c, len(flows), "before deleting a connection",
		func(i int) (netlink.Message, error) { return flows[i].removal(), nil }, func(_ int, err error) error {
			return fmt.Errorf("deleting a connection: %w", err)
		})
}

func (m Marking) request() (netlink.Message, error) {
	body, err := appendMarks(netlink.NewAttributeEncoder(), m.Bits, m.Mask).Encode()
	return netlink.Message{
		Header: netlink.Header{Type: ctNew, Flags: netlink.Request},
		Data:   append(slices.Clip(m.Flow.request), body...),
	}, err
}

func (m Marking) failed(err error) error {
	return fmt.Errorf("changing mark 0x%x/0x%x of a connection: %w", m.Mark&m.Mask, m.Mask, err)
}

func (f *Flow) removal() netlink.Message {
	return netlink.Message{Header: netlink.Header{Type: ctDelete, Flags: netlink.Request}, Data: slices.Clip(f.request)}
}

// inBatches sends n requests in batches and returns how many found their connection. The kernel
// answers only requests that fail; after the first batch with an error nothing more is sent.
func inBatches(c *netlink.Conn, n int, point string, request func(int) (netlink.Message, error),
	failed func(int, error) error) (found int, err error) {
	for at := 0; at < n && err == nil; at += batchSize {
		var batch []netlink.Message
		for i := at; i < min(at+batchSize, n) && err == nil; i++ {
			if err = fault.At(point); err != nil {
				break
			}
			var m netlink.Message
			if m, err = request(i); err == nil {
				batch = append(batch, m)
			}
		}
		if len(batch) == 0 {
			break
		}
		if _, sendErr := c.SendMessages(append(batch, batchEnd)); sendErr != nil {
			return found, errors.Join(err, failed(at, sendErr))
		}
		gone, answered := failures(c)
		if found += len(batch) - gone; answered != nil {
			err = errors.Join(err, failed(at, answered))
		}
	}
	return found, err
}

// failures reads the answers to a batch. It returns how many requests were not carried out, and the
// first error other than that a connection has ended meanwhile.
func failures(c *netlink.Conn) (n int, first error) {
	for {
		_, err := c.Receive()
		var refused unix.Errno
		switch {
		case err == nil:
			return n, first
		case !errors.As(err, &refused) || refused == unix.ENOBUFS:
			return n, err // -- not the answer to a request
		case refused != unix.ENOENT && first == nil:
			first = err
		}
		n++
	}
}
