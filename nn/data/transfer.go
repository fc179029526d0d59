package data

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// transfer brings the .part file to its full size from where it stands, in one request. again says
// that the same address may be asked once more.
func (g *getter) transfer(ctx context.Context, url string) (again bool, err error) {
	f, err := os.OpenFile(g.part(), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return false, err
	}
	defer f.Close()
	have, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return false, err
	}
	if have > g.file.size { // of something else: start over
		if have, err = 0, restart(f); err != nil {
			return false, err
		}
	}
	if have == g.file.size {
		return false, nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(g.o.Stall, func() { cancel(errStalled) })
	defer watch.Stop()
	body, have, err := g.request(ctx, f, url, have)
	if err != nil {
		return errors.Is(err, errRange), cause(ctx, err)
	}
	defer body.Close()
	r := &watched{r: body, done: have, moved: func(done int64) {
		watch.Reset(g.o.Stall)
		if g.o.Progress != nil {
			g.o.Progress(g.file.name, done, g.file.size)
		}
	}}
	// One byte more than wanted shows that the file is longer.
	n, err := io.Copy(f, io.LimitReader(r, g.file.size-have+1))
	switch have += n; {
	case r.err != nil && r.err != io.EOF:
		return true, cause(ctx, r.err)
	case err != nil: // from the disk
		return false, err
	case have > g.file.size:
		return false, errors.Join(fmt.Errorf("longer than %d bytes", g.file.size), restart(f))
	case have < g.file.size:
		return true, fmt.Errorf("ended after %d of %d bytes", have, g.file.size)
	}
	return false, f.Sync()
}

// errStalled is the reason for giving up a transfer that brings nothing.
var errStalled = errors.New("no data for too long")

// errRange says that the server knows no such part of the file; the .part file was emptied.
var errRange = errors.New("answered another range than asked for")

// cause prefers the reason a context was cancelled for to the error this led to.
func cause(ctx context.Context, err error) error {
	if c := context.Cause(ctx); c != nil {
		return c
	}
	return err
}

// request asks for the file from byte have on and returns the body and the byte it begins at.
// f is left at that byte.
func (g *getter) request(
	ctx context.Context, f *os.File, url string, have int64,
) (io.ReadCloser, int64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("Accept-Encoding", "identity") // the .gz itself, not its contents
	if have > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
	}
	resp, err := g.o.Client.Do(req)
	if err != nil {
		return nil, 0, err
	}
	switch {
	case resp.StatusCode == http.StatusPartialContent && have > 0:
		var from int64
		_, err := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-", &from)
		if err == nil && from == have {
			return resp.Body, have, nil
		}
		resp.Body.Close()
		return nil, 0, errors.Join(errRange, restart(f))
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		resp.Body.Close()
		return nil, 0, errors.Join(errRange, restart(f))
	case resp.StatusCode == http.StatusOK: // the whole file, whatever was asked for
		if err := restart(f); err != nil {
			resp.Body.Close()
			return nil, 0, err
		}
		return resp.Body, 0, nil
	}
	resp.Body.Close()
	return nil, 0, fmt.Errorf("answered %s", resp.Status)
}

// restart empties the file.
func restart(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.Seek(0, io.SeekStart)
	return err
}

// watched reports every read and remembers how reading ended, so that a broken network can be told
// from a full disk.
type watched struct {
	r     io.Reader
	done  int64
	err   error
	moved func(done int64)
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	w.done += int64(n)
	if w.err = err; n > 0 {
		w.moved(w.done)
	}
	return n, err
}
