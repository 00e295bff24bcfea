// Writes blocks of Prometheus' database from a description of series, faster than promtool reads
// the same number of samples as text.
//
//	blocks DIRECTORY FROM UNTIL STEP < series     (times and step in milliseconds)
//
// A line of the description is a series as JSON, in any order; see `series`.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"math"
	"os"
	"path/filepath"
	"sort"
	"strconv"

	"github.com/oklog/ulid"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/index"
)

const (
	perChunk = 120
	perBlock = 3 * 24 * 3600 * 1000
)

// series starts with Value. Each step adds Grow, or a random whole number up to twice as large if
// Random is set. If Sparse is set, the value is only what a step adds, and zeros are omitted. Swing
// is the maximum random deviation of a value. The series ends after Until steps, if that is set;
// after Change steps the value is Then.
type series struct {
	Labels map[string]string
	Value  float64
	Grow   float64
	Random bool
	Sparse bool
	Swing  float64
	Until  int
	Change int
	Then   float64

	sorted labels.Labels
	random uint64
}

// chance is between 0 and 1.
func (s *series) chance() float64 {
	s.random ^= s.random << 13
	s.random ^= s.random >> 7
	s.random ^= s.random << 17
	return float64(s.random>>11) / (1 << 53)
}

func (s *series) next(step int) float64 {
	chance := s.chance()
	if s.Random || s.Sparse {
		whole := math.Floor(s.Grow*2*chance + s.chance())
		if s.Sparse {
			return whole
		}
		s.Value += whole
	} else {
		s.Value += s.Grow
	}
	if s.Change > 0 && step == s.Change {
		s.Value = s.Then
	}
	if s.Swing == 0 {
		return s.Value
	}
	return s.Value + s.Swing*(2*chance-1)
}

func main() {
	log.SetFlags(0)
	directory := os.Args[1]
	from, until, step := number(os.Args[2]), number(os.Args[3]), number(os.Args[4])
	all := read()
	for begin, made := from, 0; begin < until; made++ {
		end := min(begin-begin%perBlock+perBlock, until)
		write(directory, made, all, from, begin, end, step)
		begin += (end - begin + step - 1) / step * step
	}
}

func read() []*series {
	var all []*series
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		one := &series{}
		check(json.Unmarshal(lines.Bytes(), one))
		one.sorted = labels.FromMap(one.Labels)
		one.random = uint64(len(all)+1) * 0x9e3779b97f4a7c15
		all = append(all, one)
	}
	check(lines.Err())
	sort.Slice(all, func(i, j int) bool {
		return labels.Compare(all[i].sorted, all[j].sorted) < 0
	})
	return all
}

func write(directory string, made int, all []*series, from, begin, end, step int64) {
	id := ulid.MustNew(uint64(begin), nil)
	id[15] = byte(made)
	folder := filepath.Join(directory, id.String())
	check(os.MkdirAll(folder, 0o755))
	chunked, err := chunks.NewWriter(filepath.Join(folder, "chunks"))
	check(err)
	indexed, err := index.NewWriter(context.Background(), filepath.Join(folder, "index"))
	check(err)
	for _, symbol := range symbols(all) {
		check(indexed.AddSymbol(symbol))
	}
	var series, many, samples int
	for place, one := range all {
		metas := one.chunks(from, begin, end, step)
		if len(metas) == 0 {
			continue
		}
		check(chunked.WriteChunks(metas...))
		check(indexed.AddSeries(storage.SeriesRef(place), one.sorted, metas...))
		series++
		many += len(metas)
		for _, chunk := range metas {
			samples += chunk.Chunk.NumSamples()
		}
	}
	check(chunked.Close())
	check(indexed.Close())
	text, err := json.Marshal(map[string]any{
		"ulid": id, "minTime": begin, "maxTime": end, "version": 1,
		"stats":      map[string]int{"numSeries": series, "numChunks": many, "numSamples": samples},
		"compaction": map[string]any{"level": 1, "sources": []ulid.ULID{id}},
	})
	check(err)
	check(os.WriteFile(filepath.Join(folder, "meta.json"), text, 0o644))
}

func symbols(all []*series) []string {
	known := map[string]bool{}
	for _, one := range all {
		for name, value := range one.Labels {
			known[name], known[value] = true, true
		}
	}
	sorted := make([]string, 0, len(known))
	for symbol := range known {
		sorted = append(sorted, symbol)
	}
	sort.Strings(sorted)
	return sorted
}

func (s *series) chunks(from, begin, end, step int64) []chunks.Meta {
	var made []chunks.Meta
	var appender chunkenc.Appender
	for at := begin; at < end; at += step {
		place := int((at - from) / step)
		if s.Until > 0 && place >= s.Until {
			break
		}
		value := s.next(place)
		if s.Sparse && value == 0 {
			continue
		}
		if len(made) == 0 || made[len(made)-1].Chunk.NumSamples() == perChunk {
			chunk := chunkenc.NewXORChunk()
			made = append(made, chunks.Meta{MinTime: at, Chunk: chunk})
			appender, _ = chunk.Appender()
		}
		appender.Append(at, value)
		made[len(made)-1].MaxTime = at
	}
	return made
}

func number(text string) int64 {
	value, err := strconv.ParseInt(text, 10, 64)
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		log.Fatal(fmt.Errorf("blocks: %w", err))
	}
}
