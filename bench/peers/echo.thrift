service EchoService {
    binary echo(1: binary payload, 2: i32 sleep_us)
}
