// Streams of C++ bRPC that are measured: a server that echoes all messages, and a client that sends
// as many as the windows let go, checks what comes back, and prints the rate of each second.
//
// Compiled by hand, beside a bRPC that was built (BRPC is the folder of its source):
//
//     mkdir -p $BRPC_CPP_BIN/stream_echo && cd $BRPC_CPP_BIN/stream_echo
//     protoc --cpp_out=. --proto_path=$BRPC/example/streaming_echo_c++ echo.proto
//     g++ -std=c++17 -O2 -DNDEBUG -I. -I$BRPC/output/include .../bench/peers/cpp/stream_echo.cpp
//         echo.pb.cc -o echo_server $BRPC/output/lib/libbrpc.a
//         -lgflags -lprotobuf -lleveldb -lssl -lcrypto -ldl -lz -lpthread
//     cp echo_server echo_client
//
// One program is both: with -port it serves, with -server it calls.

#include <atomic>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <brpc/channel.h>
#include <brpc/server.h>
#include <brpc/stream.h>
#include <bthread/bthread.h>
#include <butil/logging.h>
#include <gflags/gflags.h>
#include <unistd.h>

#include "echo.pb.h"

DEFINE_int32(port, 0, "Serve on this port");
DEFINE_string(server, "", "Call this server");
DEFINE_int32(stream_num, 1, "Streams, over one connection");
DEFINE_int32(message_size, 32, "Bytes of a message, at least 8");
DEFINE_int32(max_buf_size, 64 * 1024, "The window of each stream");
DEFINE_int32(timeout_ms, 10000, "For opening a stream");

// As in bench/streams/numbered.py.
const int kCount = 1024;

std::string Numbered(int number) {
    char digits[16];
    snprintf(digits, sizeof(digits), "%08d", number);
    return std::string(digits, 8) + std::string(FLAGS_message_size - 8, 'x');
}

// Sends one message, as soon as the window lets it go. False if the stream has ended.
bool Send(brpc::StreamId id, const butil::IOBuf& message) {
    // Many small messages: bRPC says that they would travel one by one otherwise.
    brpc::StreamWriteOptions options;
    options.write_in_background = true;
    while (true) {
        const int error = brpc::StreamWrite(id, message, &options);
        if (error == 0) {
            return true;
        }
        if (error != EAGAIN || brpc::StreamWait(id, nullptr) != 0) {
            return false;
        }
    }
}

class Echoer : public brpc::StreamInputHandler {
public:
    int on_received_messages(brpc::StreamId id, butil::IOBuf* const messages[],
                             size_t size) override {
        for (size_t i = 0; i < size; ++i) {
            if (!Send(id, *messages[i])) {
                break;
            }
        }
        return 0;
    }
    void on_idle_timeout(brpc::StreamId) override {}
    void on_closed(brpc::StreamId id) override { brpc::StreamClose(id); }
};

class EchoServiceImpl : public example::EchoService {
public:
    void Echo(google::protobuf::RpcController* base, const example::EchoRequest*,
              example::EchoResponse* response, google::protobuf::Closure* done) override {
        brpc::ClosureGuard guard(done);
        brpc::StreamOptions options;
        options.handler = &_echoer;
        options.max_buf_size = FLAGS_max_buf_size;
        options.min_buf_size = 0;
        brpc::StreamId id;
        brpc::Controller* controller = static_cast<brpc::Controller*>(base);
        if (brpc::StreamAccept(&id, *controller, &options) != 0) {
            controller->SetFailed("Fail to accept stream");
            return;
        }
        response->set_message("ok");
    }

private:
    Echoer _echoer;
};

std::atomic<int64_t> g_messages(0);

class Checker : public brpc::StreamInputHandler {
public:
    explicit Checker(const std::vector<std::string>* expected) : _expected(expected) {}
    int on_received_messages(brpc::StreamId, butil::IOBuf* const messages[],
                             size_t size) override {
        for (size_t i = 0; i < size; ++i) {
            if (!messages[i]->equals((*_expected)[_next])) {
                LOG(ERROR) << "error=a message is not the one that was sent";
                _exit(1);
            }
            _next = (_next + 1) % kCount;
        }
        g_messages.fetch_add(size, std::memory_order_relaxed);
        return 0;
    }
    void on_idle_timeout(brpc::StreamId) override {}
    void on_closed(brpc::StreamId) override {
        LOG(ERROR) << "error=a stream has ended";
        _exit(1);
    }

private:
    const std::vector<std::string>* _expected;
    int _next = 0;
};

struct Sender {
    brpc::StreamId id;
    const std::vector<std::string>* messages;
};

void* SendOn(void* argument) {
    std::unique_ptr<Sender> sender(static_cast<Sender*>(argument));
    for (int i = 0;; i = (i + 1) % kCount) {
        butil::IOBuf message;
        message.append((*sender->messages)[i]);
        if (!Send(sender->id, message)) {
            return nullptr;
        }
    }
}

int Serve() {
    brpc::Server server;
    EchoServiceImpl service;
    if (server.AddService(&service, brpc::SERVER_DOESNT_OWN_SERVICE) != 0 ||
        server.Start(FLAGS_port, nullptr) != 0) {
        return 1;
    }
    server.RunUntilAskedToQuit();
    return 0;
}

int Call() {
    brpc::ChannelOptions channel_options;
    channel_options.protocol = brpc::PROTOCOL_BAIDU_STD;
    channel_options.timeout_ms = FLAGS_timeout_ms;
    brpc::Channel channel;
    if (channel.Init(FLAGS_server.c_str(), &channel_options) != 0) {
        return 1;
    }
    std::vector<std::string> messages;
    for (int i = 0; i < kCount; ++i) {
        messages.push_back(Numbered(i));
    }
    std::vector<std::unique_ptr<Checker>> checkers;
    for (int i = 0; i < FLAGS_stream_num; ++i) {
        checkers.emplace_back(new Checker(&messages));
        brpc::StreamOptions options;
        options.handler = checkers.back().get();
        options.max_buf_size = FLAGS_max_buf_size;
        options.min_buf_size = 0;
        brpc::Controller controller;
        brpc::StreamId id;
        if (brpc::StreamCreate(&id, controller, &options) != 0) {
            LOG(ERROR) << "error=no stream";
            return 1;
        }
        example::EchoRequest request;
        example::EchoResponse response;
        request.set_message("open");
        example::EchoService_Stub(&channel).Echo(&controller, &request, &response, nullptr);
        if (controller.Failed()) {
            LOG(ERROR) << "error=" << controller.ErrorText();
            return 1;
        }
        bthread_t thread;
        bthread_start_background(&thread, nullptr, SendOn, new Sender{id, &messages});
    }
    int64_t before = 0;
    while (true) {
        bthread_usleep(1000000);
        const int64_t now = g_messages.load(std::memory_order_relaxed);
        LOG(INFO) << "qps=" << now - before;
        before = now;
    }
}

int main(int argc, char* argv[]) {
    GFLAGS_NAMESPACE::ParseCommandLineFlags(&argc, &argv, true);
    return FLAGS_server.empty() ? Serve() : Call();
}
