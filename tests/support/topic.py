"""A topic on the Pub/Sub emulator, with subscriptions that push to servers of a test or are pulled from."""

from __future__ import annotations

from contextlib import closing
from uuid import uuid4
from warnings import catch_warnings

import grpc
from google.protobuf.duration_pb2 import Duration
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport
from google.pubsub_v1.types import PubsubMessage, PullRequest, PushConfig, RetryPolicy, Subscription, Topic

PROJECT = "projects/torpor-tests"
ACK_SECONDS = 60


class PushTopic:
    """A topic of one test."""

    def __init__(self, emulator: str) -> None:
        self.emulator = emulator
        self.name = f"{PROJECT}/topics/wake-{uuid4().hex}"
        with closing(grpc.insecure_channel(self.emulator)) as channel:
            publisher = PublisherClient(transport=PublisherGrpcTransport(channel=channel))
            publisher.create_topic(request=Topic(name=self.name))

    def push_to(self, url: str) -> str:
        """Let every message be posted to a server; gives the subscription's name."""
        name = f"{PROJECT}/subscriptions/push-{uuid4().hex}"
        subscription = Subscription(
            name=name,
            topic=self.name,
            push_config=PushConfig(push_endpoint=f"{url}/pubsub/push"),
            ack_deadline_seconds=ACK_SECONDS,
            retry_policy=RetryPolicy(minimum_backoff=Duration(nanos=100_000_000), maximum_backoff=Duration(seconds=1)),
        )
        with closing(grpc.insecure_channel(self.emulator)) as channel:
            subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
            subscriber.create_subscription(request=subscription)
        return name

    def move_to(self, subscription: str, url: str) -> None:
        """Let a subscription post to another server."""
        with closing(grpc.insecure_channel(self.emulator)) as channel:
            subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
            subscriber.modify_push_config(
                subscription=subscription, push_config=PushConfig(push_endpoint=f"{url}/pubsub/push")
            )

    def pulled(self) -> str:
        """The name of a subscription from which messages are pulled."""
        name = f"{PROJECT}/subscriptions/pull-{uuid4().hex}"
        with closing(grpc.insecure_channel(self.emulator)) as channel:
            subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
            subscriber.create_subscription(request=Subscription(name=name, topic=self.name, ack_deadline_seconds=10))
        return name

    def delete(self, subscription: str) -> None:
        """Take a subscription away."""
        with closing(grpc.insecure_channel(self.emulator)) as channel:
            subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
            subscriber.delete_subscription(subscription=subscription)

    def publish(self, *messages: bytes) -> None:
        """Publish these."""
        with closing(grpc.insecure_channel(self.emulator)) as channel:
            publisher = PublisherClient(transport=PublisherGrpcTransport(channel=channel))
            publisher.publish(topic=self.name, messages=[PubsubMessage(data=message) for message in messages])

    def left_in(self, subscription: str) -> int:
        """How many messages wait in a subscription, unless somebody holds them; they are given back."""
        with closing(grpc.insecure_channel(self.emulator)) as channel:
            subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
            request = PullRequest(subscription=subscription, max_messages=1000, return_immediately=True)
            with catch_warnings(action="ignore", category=DeprecationWarning):
                received = subscriber.pull(request=request).received_messages
            if received:
                ids = [each.ack_id for each in received]
                subscriber.modify_ack_deadline(subscription=subscription, ack_ids=ids, ack_deadline_seconds=0)
        return len(received)
