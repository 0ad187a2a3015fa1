/*
 * bare_kafka.c - the records of a night on Kafka, with nothing around them.
 *
 *     bare_kafka BROKERS NAME RECORDS TRANSACTION -                TOPIC:BYTES...   writes
 *     bare_kafka BROKERS NAME RECORDS TRANSACTION TOPIC TOPIC:BYTES...              moves
 *     bare_kafka BROKERS NAME RECORDS TRANSACTION TOPIC                             reads
 *
 * One stage of the way jobs take: reads RECORDS committed records of a topic, as the only member of
 * the group NAME, from where that group stopped, and writes for each of them one of BYTES (a key
 * and filler) to every topic named, in transactions of up to TRANSACTION records read, offsets
 * included, with the settings that offpeak's own producer and consumer have. Says "ready" once its
 * partitions are assigned, and at the end what it cost. bench_kafka.py chains four of them and
 * shows offpeak beside it: this is what the client library and the broker can do here.
 */
#include <librdkafka/rdkafka.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define OUTS_MAX   4
#define BYTES_MAX  (1 << 20)
#define WAIT_MS    30000
#define IDLE_MS    5  /* nothing more to read: what was read is committed */
#define KEY_BYTES  32 /* as many as the id of a job has */
#define BATCH_READ 1000

struct bare {
    rd_kafka_t *producer, *consumer; /* either may be NULL */
    rd_kafka_queue_t *queue;
    struct {
        const char *topic;
        size_t bytes;
    } outs[OUTS_MAX];
    size_t n_outs;
    long records, transaction, done, commits;
    unsigned long long bytes; /* of values and keys, read and written */
};

static char filler[BYTES_MAX];

static void die(const char *words, ...)
{
    va_list ap;
    va_start(ap, words);
    fputs("could not measure: ", stderr);
    vfprintf(stderr, words, ap);
    fputc('\n', stderr);
    va_end(ap);
    exit(1);
}

static void good(rd_kafka_error_t *error, const char *what)
{
    if (error) {
        die("%s: %s", what, rd_kafka_error_string(error));
    }
}

static rd_kafka_t *client(rd_kafka_type_t type, const char *const rows[][2], size_t n)
{
    char why[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    for (size_t i = 0; i < n; i++) {
        if (rd_kafka_conf_set(conf, rows[i][0], rows[i][1], why, sizeof(why)) !=
            RD_KAFKA_CONF_OK) {
            die("%s", why);
        }
    }
    rd_kafka_t *rk = rd_kafka_new(type, conf, why, sizeof(why));
    if (!rk) {
        die("%s", why);
    }
    return rk;
}

static void open_producer(struct bare *b, const char *brokers, const char *name)
{
    const char *const rows[][2] = {{"bootstrap.servers", brokers},
                                   {"transactional.id", name},
                                   {"retry.backoff.ms", "1"},
                                   {"batch.size", "524288"},
                                   {"partitioner", "murmur2_random"}};
    b->producer = client(RD_KAFKA_PRODUCER, rows, sizeof(rows) / sizeof(*rows));
    good(rd_kafka_init_transactions(b->producer, WAIT_MS), "init_transactions");
}

static void open_consumer(struct bare *b, const char *const where[3])
{
    const char *const rows[][2] = {
        {"bootstrap.servers", where[0]},   {"group.id", where[1]},
        {"auto.offset.reset", "earliest"}, {"isolation.level", "read_committed"},
        {"enable.auto.commit", "false"},   {"fetch.message.max.bytes", "262144"},
        {"fetch.error.backoff.ms", "100"}, {"fetch.wait.max.ms", "100"}};
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    b->consumer = client(RD_KAFKA_CONSUMER, rows, sizeof(rows) / sizeof(*rows));
    rd_kafka_poll_set_consumer(b->consumer);
    b->queue = rd_kafka_queue_get_consumer(b->consumer);
    rd_kafka_topic_partition_list_add(topics, where[2], RD_KAFKA_PARTITION_UA);
    if (rd_kafka_subscribe(b->consumer, topics)) {
        die("subscribe to %s", where[2]);
    }
    rd_kafka_topic_partition_list_destroy(topics);
}

static void put(struct bare *b, long number)
{
    char key[KEY_BYTES + 1];
    int n = snprintf(key, sizeof(key), "%0*ld", KEY_BYTES, number);
    for (size_t i = 0; i < b->n_outs; i++) {
        rd_kafka_resp_err_t rc;
        while ((rc = rd_kafka_producev(
                    b->producer, RD_KAFKA_V_TOPIC(b->outs[i].topic),
                    RD_KAFKA_V_KEY(key, (size_t)n),
                    RD_KAFKA_V_VALUE(filler, b->outs[i].bytes - (size_t)n),
                    RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END)) ==
               RD_KAFKA_RESP_ERR__QUEUE_FULL) {
            rd_kafka_poll(b->producer, 10);
        }
        if (rc) {
            die("%s: %s", b->outs[i].topic, rd_kafka_err2str(rc));
        }
        b->bytes += b->outs[i].bytes;
    }
}

/* Up to `most` records, fewer when no more come; 0 when there is none yet. */
static long take(struct bare *b, long most)
{
    static rd_kafka_message_t *messages[BATCH_READ];
    long n = 0;
    while (n < most) {
        size_t room = most - n < BATCH_READ ? (size_t)(most - n) : BATCH_READ;
        ssize_t got =
            rd_kafka_consume_batch_queue(b->queue, n ? IDLE_MS : 100, messages, room);
        for (ssize_t i = 0; i < got; i++) {
            rd_kafka_message_t *m = messages[i];
            if (m->err) {
                die("%s", rd_kafka_message_errstr(m));
            }
            b->bytes += m->len + m->key_len;
            if (b->producer) {
                put(b, b->done + n);
            }
            n++;
            rd_kafka_message_destroy(m);
        }
        if (got <= 0) {
            break;
        }
    }
    return n;
}

/* What was read so far belongs to the group from now on; in the transaction, where there is one. */
static void commit(struct bare *b)
{
    rd_kafka_topic_partition_list_t *at = NULL;
    if (b->consumer) {
        if (rd_kafka_assignment(b->consumer, &at) || rd_kafka_position(b->consumer, at)) {
            die("positions");
        }
        for (int i = at->cnt - 1; i >= 0; i--) {
            if (at->elems[i].offset < 0) {
                rd_kafka_topic_partition_list_del_by_idx(at, i);
            }
        }
    }
    if (b->producer && at && at->cnt) {
        rd_kafka_consumer_group_metadata_t *group =
            rd_kafka_consumer_group_metadata(b->consumer);
        good(rd_kafka_send_offsets_to_transaction(b->producer, at, group, WAIT_MS),
             "send_offsets_to_transaction");
        rd_kafka_consumer_group_metadata_destroy(group);
    } else if (at && at->cnt && rd_kafka_commit(b->consumer, at, 0)) {
        die("commit of offsets");
    }
    if (b->producer) {
        good(rd_kafka_commit_transaction(b->producer, WAIT_MS), "commit_transaction");
    }
    if (at) {
        rd_kafka_topic_partition_list_destroy(at);
    }
    b->commits++;
}

static void await_share(struct bare *b)
{
    rd_kafka_topic_partition_list_t *share = NULL;
    for (int tries = 0; tries < WAIT_MS / 100; tries++) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(b->consumer, 0);
        if (m) { /* assigned, and the first one is here: read again from it */
            rd_kafka_topic_partition_list_t *back = rd_kafka_topic_partition_list_new(1);
            rd_kafka_topic_partition_list_add(back, rd_kafka_topic_name(m->rkt),
                                              m->partition)
                ->offset = m->offset;
            good(rd_kafka_seek_partitions(b->consumer, back, WAIT_MS), "seek");
            rd_kafka_topic_partition_list_destroy(back);
            rd_kafka_message_destroy(m);
            return;
        }
        if (!rd_kafka_assignment(b->consumer, &share)) {
            int n = share->cnt;
            rd_kafka_topic_partition_list_destroy(share);
            if (n > 0) {
                return;
            }
        }
        usleep(100000);
    }
    die("no partitions were assigned");
}

static void work(struct bare *b)
{
    while (b->done < b->records) {
        long left = b->records - b->done, got = 0;
        long most = left < b->transaction ? left : b->transaction;
        if (b->producer) {
            good(rd_kafka_begin_transaction(b->producer), "begin_transaction");
        }
        if (b->consumer) {
            while (got == 0) {
                got = take(b, most);
            }
        } else {
            for (; got < most; got++) {
                put(b, b->done + got);
            }
        }
        b->done += got;
        commit(b);
    }
}

int main(int argc, char **argv)
{
    struct bare b = {0};
    struct rusage u;
    if (argc < 6 || argc - 6 > OUTS_MAX) {
        fprintf(stderr,
                "usage: bare_kafka BROKERS NAME RECORDS TRANSACTION IN|- OUT:BYTES...\n");
        return 2;
    }
    memset(filler, 'x', sizeof(filler));
    b.records = strtol(argv[3], NULL, 10);
    b.transaction = strtol(argv[4], NULL, 10);
    for (int i = 6; i < argc; i++) {
        char *colon = strrchr(argv[i], ':');
        size_t bytes = colon ? strtoul(colon + 1, NULL, 10) : 0;
        if (bytes < KEY_BYTES || bytes > BYTES_MAX) {
            die("'%s' is not TOPIC:BYTES", argv[i]);
        }
        *colon = '\0';
        b.outs[b.n_outs].topic = argv[i];
        b.outs[b.n_outs++].bytes = bytes;
    }
    if (b.n_outs) {
        open_producer(&b, argv[1], argv[2]);
    }
    if (strcmp(argv[5], "-") != 0) {
        open_consumer(&b, (const char *const[]){argv[1], argv[2], argv[5]});
        await_share(&b);
    }
    puts("ready");
    fflush(stdout);
    if (!b.consumer) {
        (void)getchar(); /* writes when it is told to */
    }
    work(&b);
    getrusage(RUSAGE_SELF, &u);
    printf("{\"records\":%ld,\"bytes\":%llu,\"commits\":%ld,\"cpu_s\":%.3f}\n", b.done,
           b.bytes, b.commits,
           (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
               (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6);
    fflush(stdout);
    if (b.consumer) {
        rd_kafka_queue_destroy(b.queue);
        rd_kafka_consumer_close(b.consumer);
        rd_kafka_destroy(b.consumer);
    }
    if (b.producer) {
        rd_kafka_destroy(b.producer);
    }
    return 0;
}
