package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"pbr/compiler/explain"
)

const (
	// longestQuestion is how many bytes a line may have.
	longestQuestion = 1 << 16
	// questionsAtOnce is how many lines one worker answers, if so many wait.
	questionsAtOnce = 128
)

// chunk is a part of a batch: its lines, and later their answers.
type chunk struct {
	lines   []byte // each with its newline
	tooLong bool   // instead: one line that is
	answers []byte
	done    chan struct{}
}

// explainBatch answers questions, in their order, in constant memory.
func (c command) explainBatch(x *explain.Explainer, name string) error {
	in := c.stdin
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return fmt.Errorf("reading questions: %w", err)
		}
		defer file.Close()
		in = file
	}
	work, order := make(chan *chunk), make(chan *chunk, 4*runtime.GOMAXPROCS(0))
	for range runtime.GOMAXPROCS(0) {
		go func() {
			for k := range work {
				k.answer(x)
				close(k.done)
			}
		}()
	}
	failed := make(chan error, 1)
	stop := make(chan struct{})
	go func() {
		defer close(order)
		defer close(work)
		failed <- readChunks(in, func(k *chunk) bool {
			k.done = make(chan struct{})
			select {
			case order <- k:
			case <-stop:
				return false
			}
			select {
			case work <- k:
			case <-stop:
				return false
			}
			return true
		})
	}()
	for k := range order {
		select {
		case <-k.done:
		case <-stop:
		}
		if _, err := c.stdout.Write(k.answers); err != nil {
			close(stop)
			return fmt.Errorf("writing answers: %w", err)
		}
	}
	return <-failed
}

// readChunks reads lines, as many at once as are there, and gives them on until nobody wants them.
func readChunks(in io.Reader, give func(*chunk) bool) error {
	r := bufio.NewReaderSize(in, longestQuestion)
	k, n := &chunk{}, 0
	flush := func() bool {
		if n == 0 {
			return true
		}
		full := k
		k, n = &chunk{}, 0
		return give(full)
	}
	for {
		line, err := r.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			if !flush() || !give(&chunk{tooLong: true}) {
				return nil
			}
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = r.ReadSlice('\n')
			}
		case len(line) > 0:
			k.lines = append(k.lines, line...)
			n++
		}
		if n == questionsAtOnce || r.Buffered() == 0 || err != nil {
			if !flush() {
				return nil
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("reading questions: %w", err)
		}
	}
}

// answer answers the chunk's lines.
func (k *chunk) answer(x *explain.Explainer) {
	if k.tooLong {
		k.answers = append(explain.AppendError(nil, "", fmt.Sprintf("the line is longer than %d bytes", longestQuestion)), '\n')
		return
	}
	resolve := resolver()
	k.answers = make([]byte, 0, questionsAtOnce*512)
	for rest := k.lines; len(rest) > 0; {
		end := 0
		for end < len(rest) && rest[end] != '\n' {
			end++
		}
		k.answers = x.Line(k.answers, rest[:end], resolve)
		rest = rest[min(end+1, len(rest)):]
	}
}
