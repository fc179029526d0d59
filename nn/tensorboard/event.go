package tensorboard

import (
	"encoding/binary"
	"hash/crc32"
	"math"
)

// Version is what the first event of a file has to say.
const Version = "brain.Event:2"

// An Event is one record: numbers and pictures of one step. The first event of a file has a Version
// and nothing else.
type Event struct {
	Wall    float64 // seconds since 1970
	Step    int64
	Version string
	Scalars []Scalar
	Images  []Image
}

// A Scalar is a number of the curve called Tag. TensorBoard holds it in single precision; NaN and
// infinities are shown as such.
type Scalar struct {
	Tag   string
	Value float64
}

// An Image is a picture under Tag: an encoded PNG with its extents and 1, 3 or 4 channels.
type Image struct {
	Tag                     string
	Height, Width, Channels int
	PNG                     []byte
}

// Field numbers of TensorFlow's protocol buffers, core/util/event.proto and
// core/framework/summary.proto.
const (
	eventWall, eventStep, eventVersion, eventSummary       = 1, 2, 3, 5
	summaryValue                                           = 1
	valueTag, valueScalar, valueImage                      = 1, 2, 4
	imageHeight, imageWidth, imageColorspace, imageEncoded = 1, 2, 3, 4
)

// Wire types of a protocol buffer's fields.
const (
	varint = 0
	bits64 = 1
	length = 2
	bits32 = 5
)

// Append appends the event as a record to b.
//
// Source of the frame: TensorFlow, core/lib/io/record_writer.h.
func (e Event) Append(b []byte) []byte {
	data := e.marshal()
	start := len(b)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(data)))
	b = binary.LittleEndian.AppendUint32(b, masked(b[start:]))
	b = append(b, data...)
	return binary.LittleEndian.AppendUint32(b, masked(data))
}

// masked returns the checksum of data as a record stores it: CRC-32C, rotated by 15 bits and moved,
// so that a checksum of bytes that hold checksums stays useful.
func masked(data []byte) uint32 {
	crc := crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))
	return (crc>>15 | crc<<17) + 0xa282ead8
}

// marshal returns the event as a protocol buffer.
func (e Event) marshal() []byte {
	b := tag(nil, eventWall, bits64)
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(e.Wall))
	b = number(b, eventStep, e.Step)
	if e.Version != "" {
		b = field(b, eventVersion, []byte(e.Version))
	}
	var summary []byte
	for _, s := range e.Scalars {
		v := field(nil, valueTag, []byte(s.Tag))
		v = tag(v, valueScalar, bits32)
		v = binary.LittleEndian.AppendUint32(v, math.Float32bits(float32(s.Value)))
		summary = field(summary, summaryValue, v)
	}
	for _, m := range e.Images {
		v := number(nil, imageHeight, int64(m.Height))
		v = number(v, imageWidth, int64(m.Width))
		v = number(v, imageColorspace, int64(m.Channels))
		v = field(v, imageEncoded, m.PNG)
		summary = field(summary, summaryValue,
			field(field(nil, valueTag, []byte(m.Tag)), valueImage, v))
	}
	if len(summary) > 0 {
		b = field(b, eventSummary, summary)
	}
	return b
}

func tag(b []byte, number, wire int) []byte {
	return binary.AppendUvarint(b, uint64(number)<<3|uint64(wire))
}

// number appends a field, unless it is 0, which a protocol buffer leaves out.
func number(b []byte, n int, v int64) []byte {
	if v == 0 {
		return b
	}
	return binary.AppendUvarint(tag(b, n, varint), uint64(v))
}

func field(b []byte, n int, data []byte) []byte {
	return append(binary.AppendUvarint(tag(b, n, length), uint64(len(data))), data...)
}
